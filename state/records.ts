/** What Pulumi records of a stack: its state and its past updates. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { checkout, launcher } from "../cli/setup/places";
import { listFiles, readBackend, readJson, type Backend } from "./backend";

/** The part of a stack's state that is read here. */
export interface Deployment {
  resources?: RecordedResource[];
  pending_operations?: { type: string; resource: RecordedResource }[];
}

export interface RecordedResource {
  urn: string;
  type: string;
  id?: string;
  inputs?: { name?: string; build?: { args?: Record<string, string> } };
  outputs?: { imageName?: string; repoDigest?: string; container?: string };
}

/** An image that an update of the stack built. */
export interface RecordedImage {
  /** Name in the program. */
  name: string;
  /** Name with tag on the engine. */
  tag: string;
  /** Of the local image. */
  imageId: string;
  /** How often it was made again because it was missing. */
  rebuilds: number;
}

/** The build argument that changes when a missing image has to be made again; no Dockerfile reads it. */
export const REBUILD = "REBUILD";

/** One past run of Pulumi on the stack; its times are exact to the second. */
export interface PastUpdate {
  kind: string;
  /** Anything but `succeeded` may have left something half done. */
  result: string;
  startTime: string;
  endTime?: string;
  config: Record<string, { value?: string }>;
}

/** The stack's state; empty before its first update. */
export function readDeployment(stack: string): Deployment {
  const backend = readBackend();
  if (backend.folder !== undefined) return readStateFile(stack, backend);
  const exported = execFileSync(launcher, ["stack", "export", "--stack", stack], {
    cwd: checkout,
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  });
  return (JSON.parse(exported) as { deployment: Deployment }).deployment;
}

/** The same of a file backend, which is read in no time and also while an update runs. */
function readStateFile(stack: string, { project, folder = "" }: Backend): Deployment {
  return readState(join(folder, "stacks", project, `${stack}.json`));
}

function readState(file: string): Deployment {
  const state = readJson(file) as { checkpoint: { latest?: Deployment | null } } | undefined;
  return state?.checkpoint.latest ?? {};
}

/** The images that a state records. */
export function listImages({ resources }: Deployment): RecordedImage[] {
  return (resources ?? []).flatMap(
    ({ type, urn, inputs, outputs: { imageName, repoDigest } = {} }) =>
      type !== "docker:index/image:Image" || !imageName || !repoDigest
        ? []
        : [
            {
              name: nameOf(urn),
              tag: imageName,
              imageId: repoDigest,
              rebuilds: Number(inputs?.build?.args?.[REBUILD] ?? 0),
            },
          ],
  );
}

/** The ids of the services that a state records: there are some on a Swarm. */
export const listServiceIds = ({ resources }: Deployment): string[] =>
  (resources ?? []).flatMap(({ type, id }) =>
    type === "docker:index/service:Service" && id ? [id] : [],
  );

/** The ids of the containers in which a state records a haproxy.cfg. */
export const listConfigured = ({ resources }: Deployment): string[] =>
  (resources ?? []).flatMap(({ type, outputs: { container } = {} }) =>
    type === "lab:index:HaproxyConfig" && container ? [container] : [],
  );

/** The states after the stack's past updates; none of another backend than files. */
export function readPastDeployments(stack: string): Deployment[] {
  const { project, folder } = readBackend();
  if (folder === undefined) return [];
  const history = join(folder, "history", project, stack);
  return listFiles(history, ".checkpoint.json").map((name) => readState(join(history, name)));
}

/** The last past update that a file backend has. */
export function readLastUpdate(stack: string, { project, folder = "" }: Backend) {
  const history = join(folder, "history", project, stack);
  // Their names hold the time in a fixed number of digits.
  const last = listFiles(history, ".history.json").sort().at(-1);
  return last && (readJson(join(history, last)) as PastUpdate | undefined);
}

/** Operations that were begun and of whose end nothing is recorded, such as `creating s3`. */
export function listUnfinished({ pending_operations }: Deployment): string[] {
  return (pending_operations ?? []).map(({ type, resource }) => `${type} ${nameOf(resource.urn)}`);
}

/** A resource's name in the program. */
export function nameOf(urn: string): string {
  return urn.split("::").slice(3).join("::");
}
