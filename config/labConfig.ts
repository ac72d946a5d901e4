import { isIPv4 } from "node:net";
import * as pulumi from "@pulumi/pulumi";
import { isPrivate, MAX_NODES, maxNodes, parseSubnet } from "./addressPlan";

/** The stack's configuration, checked. Defaults and descriptions stand in Pulumi.yaml. */
export interface LabConfig {
  /** Name of the stack; it tags the images. */
  stack: string;
  /** What runs the containers: one Docker engine, or a Swarm of them. */
  orchestrator: (typeof ORCHESTRATORS)[number];
  nodeCount: number;
  subnet: string;
  namePrefix: string;
  publishAddress: string;
  adminAddress: string;
  /** Secret: no message has it. Empty for a stats page without a password. */
  statsPassword: string;
  httpPort: number;
  statsPort: number;
  adminPort: number;
  /** Number of balancers, 1 or 2. */
  balancers: number;
  /** Host ports of the second balancer; of no meaning without one. */
  secondStatsPort: number;
  secondAdminPort: number;
  /** First host port of the nodes; 0 publishes none. */
  nodePorts: number;
  /** ms */
  serverTimeout: number;
  stickySessions: boolean;
  /** Number of groups of nodes that a changed image replaces one after the other. */
  rollingSteps: number;
  /** s */
  readyTimeout: number;
  /** Host and port of the registry from which the engines of a Swarm have their images. */
  registry: string;
  registryUser: string;
  /** Secret: no message has it. */
  registryPassword: string;
  /** On which engines of a Swarm the nodes may be; empty for all. */
  placement: string;
  /** How a Swarm publishes the balancers' ports. */
  publishMode: (typeof PUBLISH_MODES)[number];
}

const ORCHESTRATORS = ["docker", "swarm"] as const;
const PUBLISH_MODES = ["host", "ingress"] as const;

/** Keys whose values no message may have. */
const SECRETS = ["statsPassword", "registryPassword"] as const;

/**
 * The only reader of the stack's configuration.
 *
 * @throws pulumi.RunError as {@link checkConfig} does and for keys that there are not, or Pulumi's
 *   own for a wrong type
 */
export function readConfig(): LabConfig {
  const config = new pulumi.Config();
  const read: LabConfig = {
    stack: pulumi.getStack(),
    orchestrator: config.require("orchestrator"),
    nodeCount: config.requireNumber("nodeCount"),
    subnet: config.require("subnet"),
    namePrefix: config.require("namePrefix"),
    publishAddress: config.require("publishAddress"),
    adminAddress: config.require("adminAddress"),
    statsPassword: config.require("statsPassword"),
    httpPort: config.requireNumber("httpPort"),
    statsPort: config.requireNumber("statsPort"),
    adminPort: config.requireNumber("adminPort"),
    balancers: config.requireNumber("balancers"),
    secondStatsPort: config.requireNumber("secondStatsPort"),
    secondAdminPort: config.requireNumber("secondAdminPort"),
    nodePorts: config.requireNumber("nodePorts"),
    serverTimeout: config.requireNumber("serverTimeout"),
    stickySessions: config.requireBoolean("stickySessions"),
    rollingSteps: config.requireNumber("rollingSteps"),
    readyTimeout: config.requireNumber("readyTimeout"),
    registry: config.require("registry"),
    registryUser: config.require("registryUser"),
    registryPassword: config.require("registryPassword"),
    placement: config.require("placement"),
    publishMode: config.require("publishMode"),
  };
  refuseOtherKeys(config.name, Object.keys(read));
  refusePlainSecrets(config.name, read);
  return checkConfig(read);
}

/** Pulumi takes any key: without this a misspelt one would be set and change nothing. */
function refuseOtherKeys(namespace: string, known: string[]): void {
  const others = Object.keys(pulumi.runtime.allConfig())
    .filter((key) => key.startsWith(`${namespace}:`))
    .map((key) => key.slice(namespace.length + 1))
    .filter((key) => key === "stack" || !known.includes(key));
  const keys = known.filter((key) => key !== "stack").join(", ");
  refuseIfAny(others.map((key) => `${key}: there is no such key; there is ${keys}`));
}

/**
 * The stack's file is tracked, so a password in it has to be encrypted. `secret` in Pulumi.yaml would
 * refuse the default too. The keys come as the language host passes them to each program.
 */
function refusePlainSecrets(namespace: string, read: LabConfig): void {
  const secrets = JSON.parse(process.env.PULUMI_CONFIG_SECRET_KEYS || "[]") as string[];
  const plain = SECRETS.filter((key) => read[key] && !secrets.includes(`${namespace}:${key}`));
  refuseIfAny(plain.map((key) => refusal(read, key, `a secret; ${howToSet(key)}`)));
}

const howToSet = (key: (typeof SECRETS)[number]) =>
  `set it with: npx pulumi config set --secret ${key}`;

const MAX_PORT = 65535;

/** bcrypt reads no more than 72 bytes, and a header has no sure encoding for what is not ASCII. */
const PASSWORD = /^[ -~]{8,72}$/;

/** Longest number of characters of a value in a message. */
const SHOWN = 80;

/** Docker: image names are lower case, with single separators between runs of letters and digits. */
const NAME_PREFIX = /^([a-z0-9]+([._]|__|-+|$))*$/;
const MAX_NAME_PREFIX = 31;

/** Docker: an image tag may hold `.` and `-` but not begin with them. */
const IMAGE_TAG = /^\w[\w.-]*$/;

/** One problem in one line: key, value, what is allowed. */
export function refusal(config: LabConfig, key: keyof LabConfig, allowed: string): string {
  const value = isSecret(key) ? hide(config[key]) : config[key];
  const shown = typeof value === "string" ? JSON.stringify(value) : String(value);
  const short = shown.length > SHOWN ? `${shown.slice(0, SHOWN)}…` : shown;
  return `${key}: got ${short}, expected ${allowed}`;
}

const hide = (secret: string) => secret && `[${secret.length} characters]`;
const isSecret = (key: keyof LabConfig): key is (typeof SECRETS)[number] =>
  (SECRETS as readonly string[]).includes(key);

/**
 * Ends the program if there are problems, before it declares anything.
 *
 * @throws pulumi.RunError with a line for each problem; Pulumi shows it without a stack trace
 */
export function refuseIfAny(problems: string[]): void {
  if (problems.length === 0) return;
  const lines = problems.join("\n").replaceAll("\n", "\n  ");
  const error = new pulumi.RunError(`nothing was changed, because\n  ${lines}`);
  // Pulumi formats the stack although it does not show it. Node 20's util.inspect then runs for
  // 15 s, until its memory ends, over a frame in `node_modules/@pulumi/resource.ts`.
  error.stack = undefined;
  throw error;
}

/**
 * Checks ranges and what must fit together.
 *
 * @returns the same configuration
 * @throws pulumi.RunError with a line for each value that is refused
 */
export function checkConfig(config: LabConfig): LabConfig {
  const problems: string[] = [];
  const refuse = (key: keyof LabConfig, allowed: string) =>
    problems.push(refusal(config, key, allowed));
  const checkRange = (key: keyof LabConfig, min: number, max: number, what: string) => {
    const value = config[key] as number;
    if (!Number.isInteger(value) || value < min || value > max) {
      refuse(key, `${what} from ${min} to ${max}`);
    }
  };

  const subnet = parseSubnet(config.subnet);
  if (typeof subnet === "string") refuse("subnet", subnet);
  else
    checkRange("nodeCount", 1, maxNodes(subnet), `a number of nodes that ${config.subnet} holds,`);
  if (!IMAGE_TAG.test(config.stack)) {
    refuse("stack", "a name that can be an image's tag: it begins with a letter, a digit or _");
  }
  if (config.namePrefix.length > MAX_NAME_PREFIX || !NAME_PREFIX.test(config.namePrefix)) {
    const allowed = `nothing, or up to ${MAX_NAME_PREFIX} of a-z 0-9, after them . _ __ or dashes`;
    refuse("namePrefix", allowed);
  }
  for (const key of ["publishAddress", "adminAddress"] as const) {
    if (!isIPv4(config[key])) refuse(key, "an IPv4 address of this host, or 0.0.0.0 for all");
  }
  checkStatsPassword(config, refuse);
  checkRange("balancers", 1, 2, "a number of balancers");
  for (const key of portKeys(config)) checkRange(key, 1, MAX_PORT, "a port");
  checkRange("serverTimeout", 100, 60_000, "milliseconds");
  checkRange("rollingSteps", 1, 10, "a number of steps");
  checkRange("readyTimeout", 1, 3600, "seconds");
  const onSwarm = config.orchestrator === "swarm";
  if (onSwarm) checkSwarm(config, refuse);
  else if (config.orchestrator !== "docker") refuse("orchestrator", oneOf(ORCHESTRATORS));
  if (!onSwarm) checkNodePorts(config, refuse);
  checkPortsDiffer(onSwarm ? { ...config, nodePorts: 0 } : config, refuse);

  refuseIfAny(problems);
  return config;
}

/** What is allowed and yet seldom meant, a line for each value. */
export function listWarnings({ orchestrator, subnet, adminAddress }: LabConfig): string[] {
  const warnings: string[] = [];
  if (!isPrivate(subnet)) {
    warnings.push(
      `subnet: ${subnet} is public: this host and the lab's containers can't reach the real hosts ` +
        "that have these addresses; a private one is in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16",
    );
  }
  if (orchestrator === "docker" && !isLoopback(adminAddress)) {
    warnings.push(
      `adminAddress: ${adminAddress} opens HAProxy's admin CLI without a password to whoever ` +
        "reaches this host and to the nodes, who come as the host; back to this host alone: " +
        "npx pulumi config rm adminAddress",
    );
  }
  return warnings;
}

/** Which addresses other hosts can't reach. */
const isLoopback = (address: string) => address.startsWith("127.");

type Refuse = (key: keyof LabConfig, allowed: string) => void;

function checkStatsPassword(config: LabConfig, refuse: Refuse): void {
  const { statsPassword } = config;
  const reason = whyPassword(config);
  if (statsPassword === "" ? reason === "" : PASSWORD.test(statsPassword)) return;
  const why = reason && `, because ${reason}`;
  refuse("statsPassword", `8 to 72 printable ASCII characters${why}; ${howToSet("statsPassword")}`);
}

/** Why the statistics must have a password; empty where they need none. */
function whyPassword({ orchestrator, adminAddress }: LabConfig): string {
  if (orchestrator === "swarm")
    return "a Swarm opens the stats page on every address of its engines";
  const isOpen = isIPv4(adminAddress) && !isLoopback(adminAddress);
  return isOpen ? `adminAddress ${adminAddress} is not a loopback address` : "";
}

const oneOf = (words: readonly string[]) => `one of ${words.join(", ")}`;

/** A host name or address, with a port or without. */
const REGISTRY = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?$/;
/** What Docker takes as a constraint on a task's engine. */
const CONSTRAINT = /^(node|engine)\.[\w.-]+ *[!=]= *[\w.-]+$/;
/** A default can't be told from a value of the user's: both mean that no port is asked for. */
const NO_NODE_PORTS = [0, 4000];

function checkSwarm(config: LabConfig, refuse: Refuse): void {
  const { balancers, nodePorts, placement, publishMode, registry } = config;
  if (!REGISTRY.test(registry)) {
    refuse("registry", "the host, and port, of a registry that every engine of the Swarm reaches");
  }
  if (config.registryUser === "") refuse("registryUser", "the user who may push to the registry");
  if (config.registryPassword === "") {
    refuse("registryPassword", `that user's password; ${howToSet("registryPassword")}`);
  }
  if (placement !== "" && !CONSTRAINT.test(placement)) {
    refuse("placement", "nothing, or a constraint such as node.labels.disk==ssd");
  }
  if (!PUBLISH_MODES.includes(publishMode)) refuse("publishMode", oneOf(PUBLISH_MODES));
  if (balancers !== 1) refuse("balancers", "1: a Swarm has a balancer on every engine");
  if (!NO_NODE_PORTS.includes(nodePorts)) {
    refuse("nodePorts", "0: on a Swarm no node has a port of the host");
  }
}

function checkNodePorts(config: LabConfig, refuse: Refuse): void {
  const { nodePorts } = config;
  const nodes = countPorts(config);
  const last = MAX_PORT - nodes + 1;
  if (!Number.isInteger(nodePorts) || nodePorts < 0 || nodePorts > last) {
    refuse("nodePorts", `0, or a first port from 1 to ${last} for ${nodes} nodes`);
  }
}

/** The keys of the host ports in use, except the nodes' own. */
function portKeys({ balancers }: LabConfig) {
  const first = ["httpPort", "statsPort", "adminPort"] as const;
  return balancers === 2 ? ([...first, "secondStatsPort", "secondAdminPort"] as const) : first;
}

function checkPortsDiffer(config: LabConfig, refuse: Refuse): void {
  const keys = portKeys(config);
  const { nodePorts } = config;
  const last = nodePorts + countPorts(config) - 1;
  keys.forEach((key, i) => {
    const twin = keys.slice(0, i).find((other) => config[other] === config[key]);
    // Which of the two was set can't be told here: a default looks like a value of the user's.
    if (twin) refuse(key, `a port that ${twin} does not have: set one of the two to another port`);
    if (nodePorts > 0 && config[key] >= nodePorts && config[key] <= last) {
      refuse(key, `a port outside the nodes' own ${nodePorts}-${last}`);
    }
  });
}

/** Ports for the nodes: one at least, also for a number of nodes that is refused itself. */
function countPorts({ nodeCount }: LabConfig): number {
  return Number.isInteger(nodeCount) ? Math.min(Math.max(nodeCount, 1), MAX_NODES) : 1;
}
