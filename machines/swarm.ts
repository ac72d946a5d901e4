/** The Swarm of the machines: machine 1 is its manager. */
import type Docker from "dockerode";
import { connectDocker } from "../docker/connect";
import { poll } from "../time/poll";
import { readLastLines } from "./engine";
import { connectMachine, type Machine } from "./machines";

/** Swarm's own port, the one that it has by default. */
const SWARM_PORT = 2377;
/** Swarm takes 5 s for a machine that comes back; a machine that is busy takes longer. */
const READY_WITHIN_MS = 90_000;

/** What an engine says of its place in a Swarm. */
export interface Place {
  NodeID: string;
  LocalNodeState: "inactive" | "pending" | "active" | "error" | "locked";
}

/** What a manager says of a node. */
export interface SwarmNode {
  ID: string;
  Description: { Hostname: string };
  Status: { State: "ready" | "down" | "disconnected" | "unknown" };
}

const readPlace = async (engine: Docker) => ((await engine.info()) as { Swarm: Place }).Swarm;
const listNodes = (manager: Docker) => manager.listNodes() as Promise<SwarmNode[]>;

/**
 * Makes the Swarm, lets the machines in that are not in it yet, and waits until all are Ready.
 *
 * @throws with the machine that is not Ready in time
 */
export async function formSwarm(machines: Machine[]): Promise<void> {
  const [first, ...others] = machines;
  const manager = connectMachine(first);
  if ((await readPlace(manager)).LocalNodeState === "inactive") {
    await manager.swarmInit({ ...describeListener(first) });
  }
  await awaitReady(first, first);
  for (const machine of others) await join(machine, first, manager);
  await Promise.all(others.map((machine) => awaitReady(machine, first)));
  await forgetStrangers(machines, manager);
}

const describeListener = ({ address }: Machine) => ({
  ListenAddr: `${address}:${SWARM_PORT}`,
  AdvertiseAddr: address,
});

/** The token goes from one engine to the other and nowhere else. */
async function join(machine: Machine, first: Machine, manager: Docker): Promise<void> {
  const engine = connectMachine(machine);
  const way = decideJoin(await readPlace(engine), await listNodes(manager));
  if (way === "stay") return;
  if (way === "leave and join") await engine.swarmLeave({ force: true });
  const { JoinTokens } = (await manager.swarmInspect()) as Docker.Swarm;
  await engine.swarmJoin({
    ...describeListener(machine),
    RemoteAddrs: [`${first.address}:${SWARM_PORT}`],
    JoinToken: JoinTokens.Worker,
  });
}

/**
 * What a machine has to do to be in its manager's Swarm. It may be in another one: that of a manager
 * that was made anew since.
 *
 * @param nodes the manager's
 */
export function decideJoin({ LocalNodeState, NodeID }: Place, nodes: SwarmNode[]) {
  if (LocalNodeState === "inactive") return "join";
  return nodes.some(({ ID }) => ID === NodeID) ? "stay" : "leave and join";
}

async function forgetStrangers(machines: Machine[], manager: Docker): Promise<void> {
  const places = await Promise.all(machines.map((machine) => readPlace(connectMachine(machine))));
  const names = machines.map(({ name }) => name);
  for (const id of listStrangers(await listNodes(manager), names, places)) {
    await manager.getNode(id).remove({ force: true });
  }
}

/** The ids of nodes that were a machine which was made anew since: they would be down for ever. */
export function listStrangers(nodes: SwarmNode[], names: string[], places: Place[]): string[] {
  return nodes
    .filter(({ Description }) => names.includes(Description.Hostname))
    .map(({ ID }) => ID)
    .filter((id) => !places.some(({ NodeID }) => NodeID === id));
}

/**
 * How a machine stands in the Swarm: `ready` if its engine and the manager both say so, else what
 * either says.
 */
export async function readSwarmState(machine: Machine, first: Machine): Promise<string> {
  try {
    const { NodeID, LocalNodeState } = await readPlace(connectMachine(machine));
    if (LocalNodeState !== "active") return LocalNodeState;
    const node = (await connectMachine(first).getNode(NodeID).inspect()) as SwarmNode;
    return node.Status.State;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Every machine's state by its name, as the manager sees it: ready, down, … */
export async function listSwarmStates(first: Machine): Promise<Record<string, string>> {
  const nodes = await listNodes(connectMachine(first));
  return Object.fromEntries(
    nodes.map(({ Description, Status }) => [Description.Hostname, Status.State]),
  );
}

/** @throws with the last line of the machine's log if it is not Ready in time */
export async function awaitReady(machine: Machine, first: Machine): Promise<void> {
  const look = () => readSwarmState(machine, first);
  const options = { everyMs: 250, withinMs: READY_WITHIN_MS };
  const state = await poll(look, (seen) => seen === "ready", options);
  if (state === "ready") return;
  const lastLine = await readLastLines(connectDocker().getContainer(machine.name), 1);
  throw new Error(
    `${machine.name} is not Ready in the Swarm after ${READY_WITHIN_MS / 1000} s: ${state}; ` +
      `its last log line: ${lastLine}`,
  );
}
