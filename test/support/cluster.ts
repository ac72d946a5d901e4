/** The true membership of a lab, read from the engine, and whether the lab agrees with it. */
import { deepStrictEqual } from "node:assert";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type Docker from "dockerode";
import { KEY_FILE } from "../../config/member";
import { ROLE_LABEL, STACK_LABEL, planTopology } from "../../config/topology";
import { renderHaproxyConfig, sortNodes, type ProxyNode } from "../../haproxy/render";
import { describeContainer } from "../../cli/handMade";
import { poll } from "../../time/poll";
import type { LabCheckout } from "./checkout";
import {
  balancersOf,
  configOf,
  configOnDisk,
  inContainer,
  runningServers,
  type BalancerView,
} from "./observe";

const LOOK_EVERY_MS = 200;
const AGREE_WITHIN_MS = 30_000;

/** What each part of a lab says of its nodes; all of it follows from the first. */
export interface Picture {
  /** Nodes whose containers run and are not paused. */
  present: string[];
  /** By balancer, what is in it. */
  balancers: Record<string, BalancerPicture>;
}

interface BalancerPicture {
  members: string[];
  folder: string[];
  servers: string[];
  /** haproxy.cfg on disk. */
  file: string;
}

interface Look {
  actual: Picture;
  /** What it is to be, by the containers that run. */
  wanted: Picture;
}

/** The nodes that run, declared and by hand, as the engine has them. */
async function presentNodes(lab: LabCheckout): Promise<ProxyNode[]> {
  const filters = { label: [`${STACK_LABEL}=${lab.stack}`], status: ["running"] };
  const running = await lab.host.engine.listContainers({ filters });
  const network = `${lab.config.namePrefix}heig`;
  const nodes = running
    .filter(({ Labels }) => [undefined, "backend"].includes(Labels[ROLE_LABEL]))
    .map(({ Names, NetworkSettings }) => ({
      name: Names[0].slice(1 + String(lab.config.namePrefix).length),
      address: NetworkSettings.Networks[network].IPAddress,
      port: 3000,
    }));
  return sortNodes(nodes);
}

/** haproxy.cfg of a balancer as the renderer makes it of these nodes with the template in the lab's copy. */
function renderedFor(lab: LabCheckout, balancer: string, nodes: readonly ProxyNode[]): string {
  const template = readFileSync(join(lab.folder, "haproxy/haproxy.cfg.hbs"), "utf8");
  const { balancers } = planTopology(configOf(lab, nodes.length));
  const { proxy } = balancers.find(({ name }) => name === balancer)!;
  return renderHaproxyConfig(template, proxy, nodes);
}

const sorted = (names: string[]) => sortNodes(names.map((name) => ({ name }))).map((it) => it.name);

async function lookInto(lab: LabCheckout, balancer: BalancerView): Promise<BalancerPicture> {
  const { members } = JSON.parse(
    await inContainer(lab, balancer.name, "serf", "members", "-status=alive", "-format=json"),
  ) as { members: { name: string }[] };
  const folder = (await inContainer(lab, balancer.name, "ls", "/nodes"))
    .split("\n")
    .filter(Boolean);
  const servers = Object.entries(await runningServers(lab, balancer));
  return {
    members: sorted(members.map(({ name }) => name)),
    folder: sorted(folder.map((file) => file.replace(".yaml", ""))),
    servers: sorted(servers.map(([name, state]) => `${name} ${state}`)),
    file: await configOnDisk(lab, balancer),
  };
}

async function look(lab: LabCheckout): Promise<Look> {
  const nodes = await presentNodes(lab);
  const present = nodes.map(({ name }) => name);
  const balancers = balancersOf(lab);
  const members = sorted([...present, ...balancers.map(({ name }) => name)]);
  const servers = present.map((name) => `${name} UP L7OK`);
  const pictures = await Promise.all(
    balancers.map(async (it) => [it.name, await lookInto(lab, it)] as const),
  );
  return {
    actual: { present, balancers: Object.fromEntries(pictures) },
    wanted: {
      present,
      balancers: Object.fromEntries(
        balancers.map(({ name }) => [
          name,
          { members, folder: present, servers, file: renderedFor(lab, name, nodes) },
        ]),
      ),
    },
  };
}

/**
 * Waits until membership, /nodes, haproxy.cfg (byte for byte) and HAProxy's own list in each balancer are
 * those of the nodes that run.
 *
 * @returns the last look, which agrees unless the time was up
 */
export async function awaitAgreement(lab: LabCheckout): Promise<Look> {
  const last = await poll(
    // The balancer may be restarting.
    () => look(lab).catch((error: Error) => error),
    (seen) => !(seen instanceof Error) && isDeepStrictEqual(seen.actual, seen.wanted),
    { everyMs: LOOK_EVERY_MS, withinMs: AGREE_WITHIN_MS },
  );
  if (last instanceof Error) throw last;
  return last;
}

/** The same as an assertion, in a test and without jest. @returns the names of the nodes that run */
export async function expectAgreement(lab: LabCheckout): Promise<string[]> {
  const { actual, wanted } = await awaitAgreement(lab);
  deepStrictEqual(actual, wanted);
  return actual.present;
}

/** The address of a declared node or the balancer, and of the n-th place for nodes added by hand. */
export function addressIn(lab: LabCheckout, host: number): string {
  return String(lab.config.subnet).replace(/0\/24$/, String(host));
}

/** First of the addresses that {@link addByHand} gives, by the number in the node's name. */
const BY_HAND = 225;

/**
 * Starts a node as `npm run node -- add` does, without the seconds that a command takes.
 *
 * @param prepare called with the container before it is started
 */
export async function addByHand(
  lab: LabCheckout,
  name: string,
  prepare: (container: Docker.Container) => Promise<unknown> = async () => undefined,
): Promise<void> {
  const namePrefix = String(lab.config.namePrefix);
  const network = { name: `${namePrefix}heig`, subnet: String(lab.config.subnet) };
  const address = addressIn(lab, BY_HAND + Number(name.replace(/\D/g, "")));
  const addition = { name, containerName: namePrefix + name, address };
  const place = { stack: lab.stack, namePrefix, network, containers: [], taken: [] };
  const container = await lab.host.engine.createContainer(describeContainer(addition, place));
  const [{ name: balancer }] = balancersOf(lab);
  const key = await lab.container(balancer).getArchive({ path: KEY_FILE.path });
  await container.putArchive(key, { path: dirname(KEY_FILE.path) });
  await prepare(container);
  await container.start();
}

/** How often a freeze is asked for: runc's own patience is some milliseconds. */
const FREEZE_TRIES = 20;

/**
 * Pauses a node, as `docker pause` does. On cgroup v1 runc cannot always freeze a container whose
 * processes are just forking; it thaws it again, says so, and leaves it to the caller to ask once
 * more (opencontainers/runc#2791: "still a game of chances", #4388). Any other error is thrown.
 */
export async function pauseNode(lab: LabCheckout, name: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await lab.container(name).pause();
      return;
    } catch (error) {
      const isRefused = (error as Error).message.includes("unable to freeze");
      if (!isRefused || tries === FREEZE_TRIES) throw error;
    }
    await delay(LOOK_EVERY_MS);
  }
}
