/** The running lab that an operator command works on, as the engine has it. */
import type Docker from "dockerode";
import { HAND_LABEL, type Origin } from "../config/member";
import { ROLE_LABEL, STACK_LABEL } from "../config/topology";
import type { ClusterView } from "../configurator/protocol/control";
import { sortNodes } from "../haproxy/render";
import { addressOn } from "../docker/address";
import { askConfigurator } from "../configurator/client";
import { connectEngine } from "../docker/engine";
import type { Deployment } from "./repairPlan";
import { readDeployment } from "./stack";

/** One container of the lab, running or not. */
export interface LabContainer {
  id: string;
  /** Name in the lab. */
  name: string;
  containerName: string;
  role: "balancer" | "backend";
  origin: Origin;
  /** Docker's word: running, exited, paused, … */
  state: string;
  /** Its address in the lab's network, which it keeps while it is stopped. */
  address: string;
}

/** What the engine has of one stack's lab. */
export interface Lab {
  stack: string;
  namePrefix: string;
  network: { name: string; subnet: string };
  /** The lab's own, in the order that a person counts them. */
  containers: LabContainer[];
  /** Every address of the network that a container has, also one that is none of the lab's. */
  taken: string[];
}

const ANSWER_WITHIN_MS = 10_000;

/** @throws if the stack has no lab on this engine */
export async function findLab(stack: string): Promise<Lab> {
  const lab = await lookForLab(stack);
  if (lab !== undefined) return lab;
  throw new Error(
    `the lab of stack ${stack} does not run; start it with: npx pulumi up --stack ${stack}`,
  );
}

/** The stack's lab, if there is one on this engine. */
export async function lookForLab(stack: string): Promise<Lab | undefined> {
  const engine = connectEngine();
  const deployment = readDeployment(stack);
  const [networks, containers] = await Promise.all([
    engine.listNetworks({ filters: { label: [`${STACK_LABEL}=${stack}`] } }),
    engine.listContainers({ all: true }),
  ]);
  return describeLab(stack, deployment, networks, containers);
}

/**
 * Puts together what belongs to a lab: the containers on the network that the stack's state records
 * by its id. Labels and names alone prove nothing, another checkout's lab may have the same.
 */
export function describeLab(
  stack: string,
  { resources = [] }: Deployment,
  networks: Docker.NetworkInspectInfo[],
  containers: Docker.ContainerInfo[],
): Lab | undefined {
  const recorded = resources.find(({ id }) => networks.some(({ Id }) => Id === id));
  const network = networks.find(({ Id }) => Id === recorded?.id);
  if (recorded === undefined || network === undefined) return undefined;
  // On the engine everything is called by the prefix and its name in the lab.
  const inTheLab = recorded.urn.split("::").at(-1)!;
  const namePrefix = network.Name.slice(0, network.Name.length - inTheLab.length);
  const attached = containers.flatMap((container) => {
    const endpoint = container.NetworkSettings.Networks[network.Name];
    // Before its first start a container has the network's name but not yet its id.
    return endpoint && ["", network.Id].includes(endpoint.NetworkID)
      ? [{ container, address: addressOn(endpoint) }]
      : [];
  });
  return {
    stack,
    namePrefix,
    network: { name: network.Name, subnet: network.IPAM?.Config?.[0]?.Subnet ?? "" },
    containers: sortNodes(
      attached.flatMap(({ container: { Id, Names, Labels, State }, address }): LabContainer[] => {
        const [hand, role] = [Labels[HAND_LABEL], Labels[ROLE_LABEL]];
        if (Labels[STACK_LABEL] !== stack || (hand ?? role) === undefined) return [];
        const containerName = Names[0]?.slice(1) ?? Id;
        return [
          {
            id: Id,
            name: hand ?? containerName.slice(namePrefix.length),
            containerName,
            role: role === "balancer" ? role : "backend",
            origin: hand === undefined ? "pulumi" : "hand",
            state: State,
            address,
          },
        ];
      }),
    ),
    taken: attached.map(({ address }) => address).filter((address) => address !== ""),
  };
}

/** @throws if the lab's balancer does not run, saying what to do */
export function requireBalancer({ stack, containers }: Lab): LabContainer {
  const balancer = containers.find(({ role }) => role === "balancer");
  if (balancer?.state === "running") return balancer;
  const way = `npx pulumi up --refresh --stack ${stack}`;
  if (balancer === undefined) {
    throw new Error(`the balancer of stack ${stack} is gone; make it again with: ${way}`);
  }
  const { containerName, state } = balancer;
  throw new Error(
    `the balancer of stack ${stack} does not run, its container ${containerName} is ${state}; ` +
      `start it with: ${state === "paused" ? `docker unpause ${containerName}` : way}`,
  );
}

/**
 * The nodes as each part of the balancer sees them.
 *
 * @throws if the configurator does not answer
 */
export async function readCluster(balancer: LabContainer): Promise<ClusterView> {
  const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
  const outcome = await askConfigurator(balancer.id, { do: "cluster" }, { signal }).catch(
    (error: Error) => {
      if (!signal.aborted) throw error;
      return { unavailable: `nothing within ${ANSWER_WITHIN_MS / 1000} s` };
    },
  );
  if ("done" in outcome && outcome.cluster) return outcome.cluster;
  const reason =
    "unavailable" in outcome
      ? outcome.unavailable
      : "refused" in outcome
        ? outcome.refused
        : "an answer without nodes";
  throw new Error(`the configurator in ${balancer.containerName} does not answer: ${reason}`);
}
