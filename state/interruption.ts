/** Whether an update of a stack was cut off. */
import { readBackend, listFiles } from "./backend";
import { locateLocks, readLocks } from "./locks";
import { listUnfinished, readDeployment, readLastUpdate } from "./records";

/**
 * Whether an update of the stack was cut off. Reads some files of a file backend, nothing else;
 * false while a process is at work on the stack, and for other backends.
 */
export function isInterrupted(stack: string): boolean {
  const backend = readBackend();
  if (backend.folder === undefined) return false;
  const lockFolder = locateLocks(stack, backend);
  const locks = readLocks(lockFolder);
  if (locks.some(({ verdict }) => verdict !== "dead")) return false;
  if (locks.length + listFiles(lockFolder, ".tmp").length > 0) return true;
  if (listUnfinished(readDeployment(stack)).length > 0) return true;
  const last = readLastUpdate(stack, backend);
  return last ? last.result !== "succeeded" : false;
}
