/** The true membership of a lab, read from the engine, and whether the lab agrees with it. */
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { planTopology } from "../../components/topology";
import { renderHaproxyConfig, sortNodes, type ProxyNode } from "../../haproxy/render";
import { engine, type LabCheckout } from "./checkout";
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

/** The nodes that run, declared and by hand, as the engine has them. */
export async function presentNodes(lab: LabCheckout): Promise<ProxyNode[]> {
  const filters = { label: [`dynamic-scaling-lab.stack=${lab.stack}`], status: ["running"] };
  const running = await engine.listContainers({ filters });
  const network = `${lab.config.namePrefix}heig`;
  const nodes = running
    .filter(({ Labels }) => Labels["dynamic-scaling-lab.role"] !== "balancer")
    .map(({ Names, NetworkSettings }) => ({
      name: Names[0].slice(1 + String(lab.config.namePrefix).length),
      address: NetworkSettings.Networks[network].IPAddress,
      port: 3000,
    }));
  return sortNodes(nodes);
}

/** haproxy.cfg as the renderer makes it of these nodes. */
export function renderedFor(lab: LabCheckout, nodes: readonly ProxyNode[]): string {
  const template = readFileSync("haproxy/haproxy.cfg.hbs", "utf8");
  return renderHaproxyConfig(template, planTopology(configOf(lab, 1)).proxy, nodes);
}

async function look(lab: LabCheckout): Promise<{ actual: Picture; wanted: Picture }> {
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
 * @returns the names of these nodes
 * @throws jest's comparison of the last look, when they do not agree in time
 */
export async function expectAgreement(lab: LabCheckout): Promise<string[]> {
  const deadline = Date.now() + AGREE_WITHIN_MS;
  for (;;) {
    try {
      const { actual, wanted } = await look(lab);
      expect(actual).toEqual(wanted);
      return actual.present;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
    await delay(LOOK_EVERY_MS);
  }
}
