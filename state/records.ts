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
  inputs?: { name?: string };
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
  const state = readJson(join(folder, "stacks", project, `${stack}.json`)) as
    { checkpoint: { latest?: Deployment | null } } | undefined;
  return state?.checkpoint.latest ?? {};
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
