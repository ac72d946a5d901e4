/** What `npm run repair` decides, as functions on plain data. */
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import type Docker from "dockerode";
import { ROLE_LABEL } from "../config/topology";
import type { Process } from "./processes";

/** What Pulumi's file backend writes of the process that holds a stack. */
export interface Lock {
  pid: number;
  hostname: string;
}

/**
 * Whether a lock's owner still works: one that lives, one that is gone, or one of another host, of
 * which nothing can be told from here.
 *
 * @param processName name of the process that has the lock's pid on this host now, if any
 */
export function judgeLock(
  lock: Lock,
  hostname: string,
  processName: string | undefined,
): "live" | "dead" | "elsewhere" {
  if (lock.hostname !== hostname) return "elsewhere";
  // Numbers are given again, above all after a restart of the host. Node is the repair itself, whose
  // main thread newer versions name so.
  return processName !== undefined && /pulumi|node|MainThread/.test(processName) ? "live" : "dead";
}

/** Why a lock that is not a dead process's stops the repair, and what to do about it. */
export function explainLock(
  { pid, hostname }: Lock,
  verdict: "live" | "elsewhere",
  stack: string,
): string {
  return verdict === "live"
    ? `process ${pid} is at work on stack ${stack}: nothing was touched. ` +
        "Wait for its end (if it is no Pulumi command, run: " +
        `npx pulumi cancel --stack ${stack}), then run the same command again`
    : `process ${pid} on host ${hostname} has locked stack ${stack}, and nothing here can tell ` +
        "whether it still works: nothing was touched. If it does not, run: " +
        `npx pulumi cancel --stack ${stack}, then the same command again`;
}

/** The folder of a file backend as Pulumi reads its URL; undefined for any other backend. */
export function locateState(backendUrl: string, checkout: string): string | undefined {
  const path = /^file:\/\/([^?]*)/.exec(backendUrl)?.[1];
  if (path === undefined) return undefined;
  return resolve(checkout, path.replace(/^~(?=\/|$)/, homedir()));
}

/** The part of a stack's state that is read here. */
export interface Deployment {
  resources?: RecordedResource[];
  pending_operations?: { type: string; resource: RecordedResource }[];
}

interface RecordedResource {
  urn: string;
  type: string;
  id?: string;
  inputs?: { name?: string };
}

/** Operations that were begun and of whose end nothing is recorded, such as `creating s3`. */
export function listUnfinished({ pending_operations = [] }: Deployment): string[] {
  return pending_operations.map(({ type, resource }) => `${type} ${nameOf(resource.urn)}`);
}

function nameOf(urn: string): string {
  return urn.split("::").slice(3).join("::");
}

/** One past run of Pulumi on the stack; its times are exact to the second. */
export interface PastUpdate {
  kind: string;
  /** Anything but `succeeded` may have left something half done. */
  result: string;
  startTime: string;
  endTime?: string;
  config: Record<string, { value?: string }>;
}

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

/** A process that serves an update, and the engine it works for. */
export interface Helper {
  pid: number;
  /** Host and port. */
  engine: string;
}

/**
 * The language hosts and programs of this checkout's updates, of any stack. Both outlive a killed
 * CLI: the host looks for its engine every five minutes only, and the program may spin, because it
 * reports that it can't write to its closed stderr to its closed stderr.
 */
export function listHelpers(processes: Process[], checkout: string): Helper[] {
  const host = join(checkout, "cli", "pulumi", "toolchain", "pulumi-language-nodejs");
  return processes.flatMap(({ pid, command }) => {
    const valueOf = (option: string) => {
      const at = command.indexOf(option);
      return at < 0 ? undefined : command[at + 1];
    };
    const isProgram = command.some((part) => /@pulumi\/pulumi\/cmd\/run\b/.test(part));
    const engine =
      command[0] === host
        ? command.slice(1).find((part) => /:\d+$/.test(part))
        : isProgram && valueOf("--pwd") === checkout
          ? valueOf("--engine")
          : undefined;
    return engine === undefined ? [] : [{ pid, engine }];
  });
}
