/** What an interrupted update made and no state records. */
import type Docker from "dockerode";
import { ROLE_LABEL, STACK_LABEL } from "../config/topology";
import { connectDocker } from "../docker/connect";
import { removeContainer } from "../docker/remove";
import { isOn, judgeOwnership } from "./inventory";
import type { Deployment, PastUpdate } from "./records";

/** What a stack's records say, which tells its things from those of another checkout's stack of the same name. */
export interface StackRecords {
  deployment: Deployment;
  /** Past runs, in any order. */
  history: PastUpdate[];
  project: string;
}

/**
 * The containers that an interrupted update of this stack left behind: by {@link judgeOwnership}, or,
 * on no network yet, by what {@link isAttributable} to the stack.
 *
 * @param found what bears the stack's label
 */
export function chooseContainers(
  stack: string,
  found: Docker.ContainerInfo[],
  networks: Docker.NetworkInspectInfo[],
  records: StackRecords,
): Docker.ContainerInfo[] {
  const { claimOf } = judgeOwnership(stack, records.deployment, networks, found);
  return found.filter((container) => {
    const claim = claimOf(container);
    if (claim !== undefined) return claim === "left";
    // Only the program gives a role; a container started by hand has just the image's labels.
    const isMade = ROLE_LABEL in container.Labels && isNowhere(container);
    return isMade && isAttributable(nameOf(container), container.Created, records);
  });
}

/** Whether a container is on none but Docker's own networks: it may have names of others, but no ids. */
function isNowhere({ NetworkSettings }: Docker.ContainerInfo): boolean {
  return Object.entries(NetworkSettings.Networks).every(
    ([name, { NetworkID }]) => name === "bridge" || name === "none" || NetworkID === "",
  );
}

const nameOf = ({ Names }: Docker.ContainerInfo) => Names[0].slice(1);

/**
 * The networks that an interrupted update of this stack left behind and that nothing uses.
 *
 * @param found what bears the stack's label
 * @param containers all that there are, running or not
 */
export function chooseNetworks(
  found: Docker.NetworkInspectInfo[],
  containers: Docker.ContainerInfo[],
  records: StackRecords,
): Docker.NetworkInspectInfo[] {
  const ids = new Set((records.deployment.resources ?? []).map(({ id }) => id));
  return found.filter(
    (network) =>
      !ids.has(network.Id) &&
      !containers.some((container) => isOn(network, container, containers)) &&
      isAttributable(network.Name, toSeconds(network.Created), records),
  );
}

/** The engine completes a request whose asker is gone, maybe after the update's end. */
const LATE_SECONDS = 2;

/**
 * Whether this stack's own records speak of something's making: an unfinished creation names it, or
 * it has the name prefix of an update that failed and was made while that ran. When a provider dies
 * the second is all that is left, because the CLI then forgets the operation.
 */
function isAttributable(
  name: string,
  createdSeconds: number,
  { deployment, history, project }: StackRecords,
): boolean {
  const begun = (deployment.pending_operations ?? []).filter(({ type }) => type === "creating");
  if (begun.some(({ resource }) => resource.inputs?.name === name)) return true;
  return history.some(({ kind, result, startTime, endTime, config }) => {
    const prefix = config[`${project}:namePrefix`]?.value ?? "";
    return (
      kind === "update" &&
      result !== "succeeded" &&
      name.startsWith(prefix) &&
      createdSeconds >= toSeconds(startTime) &&
      (endTime === undefined || createdSeconds <= toSeconds(endTime) + LATE_SECONDS)
    );
  });
}

function toSeconds(time: string): number {
  return Math.floor(Date.parse(time) / 1000);
}

/** Removes what is this stack's and in no state. @returns whether there was anything */
export async function removeUnrecorded(stack: string, records: StackRecords): Promise<boolean> {
  const docker = connectDocker();
  const filters = { label: [`${STACK_LABEL}=${stack}`] };
  const networks = await docker.listNetworks({ filters });
  const labelled = await docker.listContainers({ all: true, filters });
  const containers = chooseContainers(stack, labelled, networks, records);
  for (const container of containers) {
    await removeContainer(docker.getContainer(container.Id));
    console.log(`Removed container ${nameOf(container)}, which no state records.`);
  }
  const rest = await docker.listContainers({ all: true });
  const unused = chooseNetworks(networks, rest, records);
  for (const { Id, Name } of unused) {
    await docker.getNetwork(Id).remove();
    console.log(`Removed network ${Name}, which no state records.`);
  }
  return containers.length + unused.length > 0;
}
