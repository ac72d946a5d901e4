/** The locks by which Pulumi's file backend keeps two updates of a stack apart. */
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { hostname, userInfo } from "node:os";
import { join } from "node:path";
import { listFiles, readJson, readText, type Backend } from "./backend";

/** What Pulumi's file backend writes of the process that holds a stack. */
export interface Lock {
  pid: number;
  hostname: string;
}

/**
 * Whether a lock's owner still works: one that lives, one that is gone, or one of another host, of
 * which nothing can be told from here. The launcher, cli/pulumi/pulumi, has the same rule in shell:
 * it is on the way of every command, and Node takes ten times as long to start as all of it.
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

/** Where a file backend keeps a stack's locks. */
export function locateLocks(stack: string, { project, folder = "" }: Backend): string {
  return join(folder, "locks", "organization", project, stack);
}

type FoundLock = Lock & { file: string; verdict: ReturnType<typeof judgeLock> };

export function readLocks(folder: string): FoundLock[] {
  return listFiles(folder, ".json").flatMap((name) => {
    const file = join(folder, name);
    const lock = readJson(file) as Lock | undefined;
    if (lock === undefined) return []; // given back between two looks
    return [{ ...lock, file, verdict: judgeLock(lock, hostname(), readProcessName(lock.pid)) }];
  });
}

/** The name of a running process, undefined if there is none of this number. */
function readProcessName(pid: number): string | undefined {
  if (process.platform === "linux") return readText(`/proc/${pid}/comm`);
  try {
    return execFileSync("ps", ["-o", "comm=", "-p", String(pid)], { encoding: "utf8" });
  } catch {
    return undefined;
  }
}

/**
 * Removes the locks of dead processes and does the work while holding a lock as Pulumi's own, so
 * that no update can begin in the middle of it. `pulumi cancel` would not do: it removes every lock,
 * also one that an update has just taken, and holds none.
 *
 * @param folder as {@link locateLocks} gives it
 * @param work is told whether a lock was removed
 * @throws if somebody else holds the stack
 */
export async function whileHolding<T>(
  folder: string,
  stack: string,
  work: (unlocked: boolean) => Promise<T>,
): Promise<T> {
  mkdirSync(folder, { recursive: true });
  const mine = join(folder, `${randomUUID()}.json`);
  const owner = { pid: process.pid, username: userInfo().username, hostname: hostname() };
  writeFileSync(mine, JSON.stringify({ ...owner, timestamp: new Date().toISOString() }));
  try {
    // After the own one is there, as Pulumi does: of two at the same time no one overlooks the other.
    const others = readLocks(folder).filter(({ file }) => file !== mine);
    for (const lock of others) {
      if (lock.verdict !== "dead") throw new Error(explainLock(lock, lock.verdict, stack));
    }
    for (const { file, pid } of others) {
      rmSync(file);
      rmSync(`${file}.attrs`, { force: true });
      console.log(`Removed the lock of process ${pid}, which is gone.`);
    }
    return await work(others.length > 0);
  } finally {
    rmSync(mine);
  }
}
