import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { hostname } from "node:os";
import * as pulumi from "@pulumi/pulumi";
import type Docker from "dockerode";
import { renderHaproxyConfig, renderUsers, type ProxyNode } from "../haproxy/render";
import { paths } from "../configurator/paths";
import { addressOn } from "../docker/address";
import { describeStopped, STILL } from "../docker/containerState";
import { chooseEndpoint, connectEngine, runInContainer, type Endpoint } from "../docker/engine";
import { parseSubnet } from "../config/addressPlan";
import { listWarnings, refusal, refuseIfAny, type LabConfig } from "../config/labConfig";
import { overlaps } from "../config/subnet";
import { judgeOwnership, type Claim } from "../state/inventory";
import { readDeployment } from "../state/records";
import { TEMPLATE } from "../components/haproxyConfig";
import { HAND_LABEL } from "../config/member";
import { NEIGHBOURS, neighboursOf, nodesWithin, readNeighbours, roomFor } from "./neighbours";
import { STACK_LABEL, type PublishedPort, type Topology } from "../config/topology";

/** The oldest engine that the lab is tested with; older ones don't run on cgroup v2 hosts either. */
const MIN_ENGINE = { version: "20.10", api: "1.41" };

/** A busy engine takes seconds. */
const ANSWER_WITHIN_S = 30;

/** What the lab is going to be. */
export interface Plan {
  config: LabConfig;
  topology: Topology;
  /** The servers of haproxy.cfg. */
  servers: ProxyNode[];
}

/** What the engine and its host hold already, as far as it can be in the lab's way. */
export interface Surroundings {
  engine: {
    address: string;
    /** What chose it. */
    source: string;
    version: string;
    api: string;
  };
  networks: { name: string; stack?: string; own: boolean; subnets: string[] }[];
  containers: {
    name: string;
    /** The stack that its label names, of whatever checkout. */
    stack?: string;
    /** Why it is this lab's, if it is. */
    claim?: Claim;
    running: boolean;
    /** Docker's word: running, exited, paused, … */
    state: string;
    ports: Place[];
    /** Name in the lab of a node that was added by hand. */
    hand?: string;
    /** By network name; a stopped container keeps the address that it was given. */
    addresses?: Record<string, string>;
  }[];
  /** Error code of each place where this host does not let anyone listen; see {@link keyOf}. */
  refused: Record<string, string>;
  /** How many neighbours the host's kernel keeps, all containers together; undefined elsewhere. */
  neighbours?: number;
}

/** An address and port of the host. */
export interface Place {
  ip: string;
  port: number;
}

/**
 * Looks for what would stop the lab halfway, before the program declares its first resource, also in
 * a preview. Docker has the last word: what the host does meanwhile is not seen.
 *
 * @returns the names of the lab's nodes that run: only those have service that a change interrupts
 * @throws pulumi.RunError with all that was found, each with key, value and what is allowed
 */
export async function preflight(plan: Plan): Promise<Set<string>> {
  const rendered = renderTemplate(plan);
  const problems = "problem" in rendered ? [rendered.problem] : [];
  const warnings = listWarnings(plan.config);
  let running = new Set<string>();
  try {
    const held = await askAround(plan);
    running = listRunning(plan, held);
    warnings.push(...listStopped(plan, held));
    problems.push(...findProblems(plan, held));
    if ("text" in rendered) problems.push(...(await askHaproxy(plan, held, rendered.text)));
  } catch (error) {
    problems.push((error as Error).message);
  }
  refuseIfAny(problems);
  for (const warning of warnings) void pulumi.log.warn(warning);
  return running;
}

/**
 * What stands still of the lab although nobody undeclared it. Pulumi compares with its record alone,
 * so a plain update would change nothing of it, or wait for it.
 */
export function listStopped({ config, topology }: Plan, { containers }: Surroundings): string[] {
  return [topology.balancer, ...topology.nodes].flatMap(({ name, containerName }) =>
    containers
      .filter((it) => it.name === containerName && it.claim !== undefined)
      .filter(({ state }) => STILL.includes(state))
      .map(({ state }) => `${name} ${describeStopped(containerName, state, config.stack)}`),
  );
}

/** The names of the plan's nodes whose containers are there and run. */
export function listRunning({ topology }: Plan, { containers }: Surroundings): Set<string> {
  const own = containers.filter(({ claim, running }) => running && claim !== undefined);
  const containerNames = new Set(own.map(({ name }) => name));
  const nodes = topology.nodes.filter(({ containerName }) => containerNames.has(containerName));
  return new Set(nodes.map(({ name }) => name));
}

/** What of the surroundings is in the plan's way, one text for each problem. */
export function findProblems(plan: Plan, held: Surroundings): string[] {
  return [
    ...checkEngine(held.engine),
    ...checkSubnet(plan, held),
    ...checkNames(plan, held),
    ...checkLeft(plan, held),
    ...checkHandMade(plan, held),
    ...checkNeighbours(plan, held),
    ...checkAddresses(plan, held),
    ...checkPorts(plan, held),
  ];
}

function checkEngine({ address, source, version, api }: Surroundings["engine"]): string[] {
  if (compareVersions(api, MIN_ENGINE.api) >= 0) return [];
  return [
    `the Docker engine at ${address} (${source}) is version ${version} with API ${api}; ` +
      `allowed is ${MIN_ENGINE.version} with API ${MIN_ENGINE.api} or newer`,
  ];
}

function checkSubnet({ config }: Plan, { networks }: Surroundings): string[] {
  const subnet = parseSubnet(config.subnet);
  if (typeof subnet === "string") return [];
  // The stack's own network, when its name or subnet changes, is deleted before the new one is made.
  const overlapping = networks
    .filter(({ own }) => !own)
    .flatMap(({ subnets, ...network }) => subnets.map((cidr) => ({ ...network, cidr })))
    .filter(({ cidr }) => overlaps(subnet, cidr))
    .map(({ cidr, ...network }) => `network ${attribute(network, config)} has ${cidr}`);
  if (overlapping.length === 0) return [];
  const allowed = `a subnet that no other Docker network overlaps (${list(overlapping)})`;
  return [refusal(config, "subnet", allowed)];
}

function checkNames({ config, topology }: Plan, held: Surroundings): string[] {
  const { network, balancer, nodes } = topology;
  const holders = [
    ...held.networks
      .filter(({ name, own }) => name === network.name && !own)
      .map((it) => `network ${attribute(it, config)}`),
    ...[balancer, ...nodes]
      .flatMap(({ containerName }) => held.containers.filter(({ name }) => name === containerName))
      .filter(({ claim }) => claim === undefined)
      .map((it) => `container ${attribute(it, config)}`),
  ];
  if (holders.length === 0) return [];
  const allowed = `a prefix whose names are free, or remove what holds them (${list(holders)})`;
  return [refusal(config, "namePrefix", allowed)];
}

/** What an update that was cut off made is in the next one's way: no state says that it is there. */
function checkLeft({ config: { stack } }: Plan, { containers }: Surroundings): string[] {
  const left = containers.filter(({ claim }) => claim === "left").map(({ name }) => name);
  if (left.length === 0) return [];
  const what = `${list(left)}: an interrupted update made it, and no state records it`;
  return [`${what}; clear it away with: npm run repair -- --stack ${stack}`];
}

/** Says whose something is that is not this lab's. */
function attribute({ name, stack }: { name: string; stack?: string }, own: LabConfig): string {
  if (!stack) return name;
  return `${name} of ${stack === own.stack ? "another checkout's " : ""}stack ${stack}`;
}

/**
 * Nodes added by hand stand where they stand: what the lab is going to be must leave them their
 * names, addresses and network. Their network, replaced, would take them away.
 */
function checkHandMade({ config, topology }: Plan, held: Surroundings): string[] {
  const nodes = listHandMade(held);
  const names = [topology.balancer, ...topology.nodes].map(({ name }) => name);
  const planned = [topology.balancer, ...topology.nodes].map(({ address }) => address);

  const inNetwork = nodes.filter(({ network }) => network.name === topology.network.name);
  const moved = inNetwork.filter(({ network }) => !network.subnets.includes(config.subnet));
  const inTheWay = inNetwork.filter(
    (node) =>
      !moved.includes(node) && (names.includes(node.name) || planned.includes(node.address)),
  );
  const renamed = nodes.filter(({ network }) => network.name !== topology.network.name);
  const wanted: [key: keyof LabConfig, nodes: HandMade[], allowed: string][] = [
    ["nodeCount", inTheWay, "a number whose names and addresses no node added by hand has"],
    ["subnet", moved, "the network of the nodes added by hand"],
    ["namePrefix", renamed, "the prefix of the nodes added by hand"],
  ];
  return wanted
    .filter(([, nodes]) => nodes.length > 0)
    .map(([key, nodes, allowed]) => {
      const holders = nodes.map(({ name, address }) => `${name} at ${address}`);
      const names = nodes.map(({ name }) => name).join(" ");
      const way = `npm run node -- remove ${names} --stack ${config.stack}`;
      return refusal(config, key, `${allowed} (${list(holders)}), or run: ${way}`);
    });
}

/** A node added by hand to this stack's lab. */
interface HandMade {
  /** Name in the lab. */
  name: string;
  address: string;
  network: Surroundings["networks"][number];
}

function listHandMade({ containers, networks }: Surroundings): HandMade[] {
  return containers.flatMap(({ claim, hand, addresses = {} }) => {
    const network = networks.find(({ own, name }) => own && name in addresses);
    return claim !== "byHand" || hand === undefined || network === undefined
      ? []
      : [{ name: hand, address: addresses[network.name], network }];
  });
}

function checkNeighbours({ config }: Plan, { neighbours }: Surroundings): string[] {
  const { nodeCount } = config;
  if (neighbours === undefined || neighboursOf(nodeCount) <= neighbours) return [];
  const allowed =
    `${nodesWithin(neighbours)} at most while this host's kernel keeps ${neighbours} neighbours, ` +
    `or first run as root: sysctl -w ${NEIGHBOURS}=${roomFor(nodeCount)}`;
  return [refusal(config, "nodeCount", allowed)];
}

function checkAddresses({ config }: Plan, { refused }: Surroundings): string[] {
  const missing = Object.entries(refused)
    .filter(([, code]) => code === "EADDRNOTAVAIL")
    .map(([place]) => place.split(":")[0]);
  return (["publishAddress", "adminAddress"] as const)
    .filter((key) => missing.includes(config[key]))
    .map((key) => refusal(config, key, "an IPv4 address of this host, or 0.0.0.0 for all"));
}

function checkPorts({ config, topology }: Plan, held: Surroundings): string[] {
  const [http, stats, admin] = topology.balancer.ports;
  const wanted: [key: keyof LabConfig, ports: PublishedPort[], allowed: string][] = [
    ["httpPort", [http], "a free port"],
    ["statsPort", [stats], "a free port"],
    ["adminPort", [admin], "a free port"],
    ["nodePorts", topology.nodes.flatMap(({ ports }) => ports), "the first of as many free ports"],
  ];
  return wanted.flatMap(([key, ports, allowed]) => {
    const holders = ports
      .map(({ ip, external }) => findHolder({ ip, port: external }, config, held))
      .filter((holder) => holder !== undefined);
    return holders.length > 0 ? [refusal(config, key, `${allowed} (${list(holders)})`)] : [];
  });
}

/** Who holds a place on the host, unless it is the stack itself. */
function findHolder(place: Place, config: LabConfig, held: Surroundings): string | undefined {
  const holders = held.containers.filter(({ ports }) => ports.some((port) => meet(port, place)));
  const foreign = holders.find(({ claim }) => claim === undefined);
  if (foreign) return `container ${attribute(foreign, config)} publishes ${keyOf(place)}`;
  // A port of an own container is the lab's, also when another one of them is to have it.
  if (holders.length > 0 || held.refused[keyOf(place)] !== "EADDRINUSE") return undefined;
  return `another program on this host has ${keyOf(place)}`;
}

const EVERY_ADDRESS = "0.0.0.0";

function meet(a: Place, b: Place): boolean {
  return a.port === b.port && (a.ip === b.ip || [a.ip, b.ip].includes(EVERY_ADDRESS));
}

/** The name of a place in {@link Surroundings}. */
function keyOf({ ip, port }: Place): string {
  return `${ip}:${port}`;
}

/** Longest list that a message has. */
const LISTED = 3;

function list(items: string[]): string {
  const more = items.length - LISTED;
  return [...items.slice(0, LISTED), ...(more > 0 ? [`${more} more`] : [])].join(", ");
}

/** Compares dotted numbers: negative when the first is older. */
function compareVersions(a: string, b: string): number {
  return new Intl.Collator("en", { numeric: true }).compare(a, b);
}

function renderTemplate({ topology, servers }: Plan): { text: string } | { problem: string } {
  try {
    return {
      text: renderHaproxyConfig(readFileSync(TEMPLATE, "utf8"), topology.proxy, servers),
    };
  } catch (error) {
    return { problem: `${TEMPLATE}: ${(error as Error).message}` };
  }
}

/** As dockerode has them; its types don't say so. */
interface Abortable {
  version(options: { abortSignal: AbortSignal }): Promise<Docker.DockerVersion>;
  info(options: { abortSignal: AbortSignal }): Promise<{ Name?: string }>;
}

/** The thin part: a few questions to the engine and the host, all at the same time. */
async function askAround({ config, topology }: Plan): Promise<Surroundings> {
  const endpoint = chooseEndpoint(process.env);
  const { address, source } = endpoint;
  const engine = connectEngine() as Docker & Abortable;
  const ask = (options: { abortSignal: AbortSignal }) =>
    Promise.all([
      engine.version(options),
      engine.info(options),
      engine.listNetworks(options),
      engine.listContainers({ all: true, ...options }),
      tryPlaces([topology.balancer, ...topology.nodes].flatMap(({ ports }) => ports)),
    ]);
  const [{ Version, ApiVersion }, { Name }, networks, containers, refused] = await inTime(
    ask,
    endpoint,
  );
  const owner = judgeOwnership(config.stack, readDeployment(config.stack), networks);
  // In a virtual machine or another container the engine's ports are not this host's.
  const isHere = address.startsWith("unix://") && Name === hostname();
  return {
    engine: { address, source, version: Version, api: ApiVersion },
    networks: networks.map(({ Id, Name, Labels, IPAM }) => ({
      name: Name,
      stack: Labels?.[STACK_LABEL],
      own: owner.isOwnNetwork(Id),
      subnets: (IPAM?.Config ?? []).flatMap(({ Subnet }) => Subnet ?? []),
    })),
    containers: containers.map(({ Id, Names, Labels, State, Ports, NetworkSettings }, i) => ({
      name: Names[0]?.slice(1) ?? Id,
      stack: Labels[STACK_LABEL],
      claim: owner.claimOf(containers[i]),
      running: State === "running",
      state: State,
      ports: Ports.filter(({ PublicPort, Type }) => PublicPort && Type === "tcp").map(
        ({ IP, PublicPort }) => ({ ip: IP, port: PublicPort }),
      ),
      hand: Labels[HAND_LABEL],
      addresses: Object.fromEntries(
        Object.entries(NetworkSettings.Networks).map(([network, attachment]) => [
          network,
          addressOn(attachment),
        ]),
      ),
    })),
    refused: isHere ? refused : {},
    neighbours: isHere ? readNeighbours() : undefined,
  };
}

/**
 * Gives up on questions after a while: an engine may accept a connection and then say nothing.
 *
 * @throws if there was no answer in time, or as the questions do
 */
async function inTime<T>(
  ask: (options: { abortSignal: AbortSignal }) => Promise<T>,
  { address, source }: Endpoint,
): Promise<T> {
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(), 1000 * ANSWER_WITHIN_S);
  try {
    return await ask({ abortSignal: patience.signal });
  } catch (error) {
    if (!patience.signal.aborted) throw error;
    const engine = `the Docker engine at ${address} (${source})`;
    throw new Error(`${engine}: no answer within ${ANSWER_WITHIN_S} s`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

async function tryPlaces(ports: PublishedPort[]): Promise<Record<string, string>> {
  const refused: Record<string, string> = {};
  const tryPlace = async ({ ip, external }: PublishedPort) => {
    const place = { ip, port: external };
    const code = await tryToListen(place);
    if (code !== undefined) refused[keyOf(place)] = code;
  };
  await Promise.all(ports.map(tryPlace));
  return refused;
}

/** The error code of an attempt to listen there for a moment. */
function tryToListen({ ip, port }: Place): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on("error", ({ code }: NodeJS.ErrnoException) => resolve(code));
    server.listen({ host: ip, port, exclusive: true }, () =>
      server.close(() => resolve(undefined)),
    );
  });
}

/** Checks the text on standard input unless it is the running file, whose digest is $1. */
const CHECK_IF_NEW = `
if [ "$(sha256sum <${paths.config})" = "$1  -" ]; then exec cat >/dev/null; fi
exec haproxy -c -f /dev/stdin`;

/** What HAProxy in the running balancer says against a new haproxy.cfg. */
async function askHaproxy(plan: Plan, held: Surroundings, text: string): Promise<string[]> {
  const name = plan.topology.balancer.containerName;
  const own = held.containers.find((it) => it.name === name && it.claim !== undefined);
  if (!own?.running) return [];
  const digest = createHash("sha256").update(text).digest("hex");
  const container = connectEngine().getContainer(name);
  const command = ["sh", "-c", CHECK_IF_NEW, "sh", digest];
  const { exitCode, stderr } = await runInContainer(container, command, {
    user: "haproxy",
    // At the end, so that the lines that HAProxy names are the text's.
    stdin: `${text}\n${renderUsers(undefined)}`,
  }).catch(unlessRunning);
  return exitCode === 1 ? [complaintOf(stderr)] : [];
}

/** The balancer went down in the meantime; the push will check the text too. */
const unlessRunning = () => ({ exitCode: 0, stderr: "" });

/** One problem of HAProxy's own lines about the faults, without the summary at their end. */
export function complaintOf(stderr: string): string {
  const faults = stderr
    .split("\n")
    .filter(
      (line) => line.startsWith("[ALERT]") && !/ : (Error\(s\)|Fatal errors) found in /.test(line),
    )
    .map((line) => line.replace(/^\[ALERT\]\s+\(\d+\) : (config : )?/, "  "))
    .map((line) => line.replace("/dev/stdin", "haproxy.cfg"));
  return [`${TEMPLATE}: haproxy -c refuses what it renders`, ...faults].join("\n");
}
