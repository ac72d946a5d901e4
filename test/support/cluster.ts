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
import { describeContainer } from "../../cli/nodePlan";
import type { LabCheckout } from "./checkout";
import { configOf, configOnDisk, inContainer, runningServers } from "./observe";

const LOOK_EVERY_MS = 200;
const AGREE_WITHIN_MS = 30_000;

/** What each part of a lab says of its nodes; all of it follows from the first. */
export interface Picture {
  /** Nodes whose containers run and are not paused. */
  present: string[];
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
    .filter(({ Labels }) => Labels[ROLE_LABEL] !== "balancer")
    .map(({ Names, NetworkSettings }) => ({
      name: Names[0].slice(1 + String(lab.config.namePrefix).length),
      address: NetworkSettings.Networks[network].IPAddress,
      port: 3000,
    }));
  return sortNodes(nodes);
}

/** haproxy.cfg as the renderer makes it of these nodes with the template in the lab's copy. */
function renderedFor(lab: LabCheckout, nodes: readonly ProxyNode[]): string {
  const template = readFileSync(join(lab.folder, "haproxy/haproxy.cfg.hbs"), "utf8");
  return renderHaproxyConfig(template, planTopology(configOf(lab, 1)).proxy, nodes);
}

async function look(lab: LabCheckout): Promise<Look> {
  const nodes = await presentNodes(lab);
  const present = nodes.map(({ name }) => name);
  const { members } = JSON.parse(
    await inContainer(lab, "ha", "serf", "members", "-status=alive", "-format=json"),
  ) as { members: { name: string }[] };
  const folder = (await inContainer(lab, "ha", "ls", "/nodes")).split("\n").filter(Boolean);
  const servers = Object.entries(await runningServers(lab));
  const actual = {
    present,
    members: sortNodes(members).map(({ name }) => name),
    folder: sortNodes(folder.map((file) => ({ name: file.replace(".yaml", "") }))).map(
      ({ name }) => name,
    ),
    servers: sortNodes(servers.map(([name, state]) => ({ name: `${name} ${state}` }))).map(
      ({ name }) => name,
    ),
    file: await configOnDisk(lab),
  };
  return {
    actual,
    wanted: {
      present,
      members: sortNodes([...nodes, { name: "ha" }]).map(({ name }) => name),
      folder: present,
      servers: present.map((name) => `${name} UP L7OK`),
      file: renderedFor(lab, nodes),
    },
  };
}

/**
 * Waits until membership, /nodes, haproxy.cfg (byte for byte) and HAProxy's own list are those of
 * the nodes that run.
 *
 * @returns the last look, which agrees unless the time was up
 */
export async function awaitAgreement(lab: LabCheckout): Promise<Look> {
  const deadline = Date.now() + AGREE_WITHIN_MS;
  for (;;) {
    try {
      const last = await look(lab);
      if (isDeepStrictEqual(last.actual, last.wanted) || Date.now() > deadline) return last;
    } catch (error) {
      // The balancer may be restarting.
      if (Date.now() > deadline) throw error;
    }
    await delay(LOOK_EVERY_MS);
  }
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
  const key = await lab.container("ha").getArchive({ path: KEY_FILE.path });
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
