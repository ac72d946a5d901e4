/** One set-up at a time, whatever checkout it is started from. */
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { poll } from "../../time/poll";

const WAITING_MS = 30 * 60_000;

/**
 * Does the work while holding a lock file that names this process. A lock whose process is gone is
 * taken over; a process that lives is waited for.
 */
export async function withLock<T>(
  file: string,
  work: () => Promise<T>,
  sayWaiting: (owner: number) => void,
): Promise<T> {
  mkdirSync(dirname(file), { recursive: true });
  let owner: number | undefined;
  let said = false;
  const tryToTake = async (): Promise<boolean> => {
    if (take(file)) return true;
    owner = readOwner(file);
    if (owner !== undefined && !isAlive(owner)) {
      removeStale(file, owner);
      return tryToTake();
    }
    if (!said && owner !== undefined) sayWaiting(owner);
    said = true;
    return false;
  };
  if (!(await poll(tryToTake, Boolean, { everyMs: 300, withinMs: WAITING_MS }))) {
    throw new Error(`process ${owner} has held ${file} for too long; end it or remove the file`);
  }
  try {
    return await work();
  } finally {
    rmSync(file, { force: true });
  }
}

/** A link to a finished file, so that a lock is never seen without its owner. */
function take(file: string): boolean {
  const mine = `${file}.${process.pid}`;
  writeFileSync(mine, `${process.pid}\n`);
  try {
    linkSync(mine, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(mine, { force: true });
  }
}

function readOwner(file: string): number | undefined {
  try {
    return Number(readFileSync(file, "utf8"));
  } catch {
    return undefined; // given back between two looks
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Renames first: of two that find the same stale lock, one moves it, and a fresh one is put back. */
function removeStale(file: string, owner: number): void {
  const moved = `${file}.stale.${process.pid}`;
  try {
    renameSync(file, moved);
  } catch {
    return; // another process was faster
  }
  if (readOwner(moved) !== owner) linkSync(moved, file);
  rmSync(moved, { force: true });
}
