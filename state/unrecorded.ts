/** What an interrupted update made and no state records. */
import type Docker from "dockerode";
import { ROLE_LABEL, STACK_LABEL } from "../config/topology";
import { connectEngine } from "../docker/engine";
import { removeContainer } from "../docker/remove";
import type { Deployment, PastUpdate } from "./records";

/** A container or network that bears the stack's label. */
export interface Labelled {
  id: string;
  name: string;
  /** s since 1970 */
  created: number;
}

export interface LabelledContainer extends Labelled {
  /** Only the program gives one; a container started by hand has just the image's labels. */
  role?: string;
  /** Ids of the networks that it is on, without Docker's own; none before its first start. */
  networks: string[];
}

export interface LabelledNetwork extends Labelled {
  /** Whether a container, running or not, is on it. */
  used: boolean;
}

/** What of the engine's word on a container is read here. */
export function describeContainer(container: Docker.ContainerInfo): LabelledContainer {
  const { Id, Names, Created, Labels, NetworkSettings } = container;
  return {
    id: Id,
    name: Names[0].slice(1),
    created: Created,
    role: Labels[ROLE_LABEL],
    // Before its first start a container has the names of its networks but not yet their ids.
    networks: Object.entries(NetworkSettings.Networks)
      .filter(([name, { NetworkID }]) => name !== "bridge" && name !== "none" && NetworkID !== "")
      .map(([, { NetworkID }]) => NetworkID),
  };
}

/** What tells this stack's things from those of another checkout's stack of the same name. */
export interface Evidence {
  deployment: Deployment;
  /** Past runs, in any order. */
  history: PastUpdate[];
  project: string;
}

/**
 * The containers that an interrupted update of this stack left behind: no state records them, and
 * they are on the network that this stack's state records by id. One that never started, and so
 * is on none, has to be {@link isAttributable}. Label and name alone prove nothing, since another
 * checkout's lab may have the same.
 */
export function chooseContainers(
  found: LabelledContainer[],
  evidence: Evidence,
): LabelledContainer[] {
  const { resources = [] } = evidence.deployment;
  const ids = new Set(resources.map(({ id }) => id));
  return found.filter((container) => {
    if (container.role === undefined || ids.has(container.id)) return false;
    return container.networks.length > 0
      ? container.networks.some((id) => ids.has(id))
      : isAttributable(container, evidence);
  });
}

/** The networks that an interrupted update of this stack left behind and that nothing uses. */
export function chooseNetworks(found: LabelledNetwork[], evidence: Evidence): LabelledNetwork[] {
  const { resources = [] } = evidence.deployment;
  const ids = new Set(resources.map(({ id }) => id));
  return found.filter(
    (network) => !network.used && !ids.has(network.id) && isAttributable(network, evidence),
  );
}

/** The engine completes a request whose asker is gone, maybe after the update's end. */
const LATE_SECONDS = 2;

/**
 * Whether this stack's own records speak of something's making: an unfinished creation names it, or
 * it has the name prefix of an update that failed and was made while that ran. When a provider dies
 * the second is all that is left, because the CLI then forgets the operation.
 */
function isAttributable({ name, created }: Labelled, evidence: Evidence): boolean {
  const { deployment, history, project } = evidence;
  const begun = (deployment.pending_operations ?? []).filter(({ type }) => type === "creating");
  if (begun.some(({ resource }) => resource.inputs?.name === name)) return true;
  return history.some(({ kind, result, startTime, endTime, config }) => {
    const prefix = config[`${project}:namePrefix`]?.value ?? "";
    return (
      kind === "update" &&
      result !== "succeeded" &&
      name.startsWith(prefix) &&
      created >= toSeconds(startTime) &&
      (endTime === undefined || created <= toSeconds(endTime) + LATE_SECONDS)
    );
  });
}

function toSeconds(time: string): number {
  return Math.floor(Date.parse(time) / 1000);
}

/** Removes what is this stack's and in no state. @returns whether there was anything */
export async function removeUnrecorded(stack: string, evidence: Evidence): Promise<boolean> {
  const engine = connectEngine();
  const containers = chooseContainers(await listContainers(stack), evidence);
  for (const { id, name } of containers) {
    await removeContainer(engine.getContainer(id));
    console.log(`Removed container ${name}, which no state records.`);
  }
  const networks = chooseNetworks(await listNetworks(stack), evidence);
  for (const { id, name } of networks) {
    await engine.getNetwork(id).remove();
    console.log(`Removed network ${name}, which no state records.`);
  }
  return containers.length + networks.length > 0;
}

async function listContainers(stack: string): Promise<LabelledContainer[]> {
  const filters = { label: [`${STACK_LABEL}=${stack}`] };
  const found = await connectEngine().listContainers({ all: true, filters });
  return found.map(describeContainer);
}

async function listNetworks(stack: string): Promise<LabelledNetwork[]> {
  const filters = { label: [`${STACK_LABEL}=${stack}`] };
  const found = await connectEngine().listNetworks({ filters });
  return Promise.all(
    found.map(async ({ Id, Name, Created }) => {
      const on = { all: true, filters: { network: [Id] } };
      const used = (await connectEngine().listContainers(on)).length > 0;
      return { id: Id, name: Name, created: Math.floor(Date.parse(Created) / 1000), used };
    }),
  );
}
