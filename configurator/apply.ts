import { rename, rm } from "node:fs/promises";
import type { ServerStatus } from "./protocol/control";
import type { Way } from "./protocol/watch";
import type { ProxyNode } from "../haproxy/render";
import { readIfThere, replaceFile, writeCandidate } from "./files";
import { BACKEND, askWorker, checkConfig, readWorker, reload, type Worker } from "./haproxyProcess";
import { paths } from "./paths";
import { changeServers, differInServersOnly } from "./servers";

const START_DEADLINE_MS = 5000;
const START_POLL_MS = 20;

/**
 * The one way by which a text becomes the running configuration, whoever asks. Where only servers
 * change: file → Runtime API → read back, and the worker runs on. Else, or when that fails:
 * candidate file → `haproxy -c` → rename → reload → read back; on a failure the last good file is
 * restored. The file is always written first, so a process that dies on the way starts right.
 *
 * @param text the new haproxy.cfg
 * @param nodes the servers that the running process must then have
 * @throws Error with HAProxy's own words; file and process are then as before
 */
export async function applyConfig(text: string, nodes: readonly ProxyNode[]): Promise<Way> {
  const worker = await readWorker();
  const isKnown = worker !== undefined && (await isAppliedWorker(worker));
  const way =
    isKnown && (await applyServers(text, nodes))
      ? "Runtime API"
      : await applyFile(text, nodes, worker);
  await replaceFile(paths.applied, text);
  await recordWorker();
  return way;
}

/**
 * Puts users.cfg in place where it is another one. It is written before haproxy.cfg: one that names
 * its userlist would not be read without it.
 */
export async function writeUsers(text: string): Promise<void> {
  if ((await readIfThere(paths.users)) === text) return;
  // First, so that whatever ends this before the next reload does not end in an old password.
  await forgetWorker();
  await replaceFile(paths.users, text, 0o600);
}

/** Whether the worker is the one that was seen running on the applied text. */
export async function isAppliedWorker({ id }: Worker): Promise<boolean> {
  return (await readIfThere(paths.worker)) === id;
}

/** Whether an apply did not come to its end, so that the process may run on the old or the new text. */
export async function isUnfinished(): Promise<boolean> {
  return (await readIfThere(paths.worker)) === undefined;
}

/** What the worker runs on is no longer the applied text alone, so the next apply is a reload. */
export async function forgetWorker(): Promise<void> {
  await rm(paths.worker, { force: true });
}

/** Notes that the current worker runs on the applied text. */
export async function recordWorker(): Promise<void> {
  const worker = await readWorker();
  if (worker) await replaceFile(paths.worker, worker.id);
}

/** @returns whether the worker now has exactly these servers, without a reload */
async function applyServers(text: string, nodes: readonly ProxyNode[]): Promise<boolean> {
  const applied = await readIfThere(paths.applied);
  if (applied === undefined || !differInServersOnly(applied, text)) return false;
  try {
    await putInPlace(await writeCandidate(paths.config, text));
    await changeServers(applied, text);
    await verifyServers(nodes);
    return true;
  } catch (error) {
    console.error(`reloading, because: ${(error as Error).message}`);
    return false;
  }
}

async function applyFile(
  text: string,
  nodes: readonly ProxyNode[],
  worker: Worker | undefined,
): Promise<Way> {
  const before = await readIfThere(paths.config);
  try {
    const candidate = await writeCandidate(paths.config, text);
    const complaint = await checkConfig(candidate);
    if (complaint !== undefined) throw new Error(`haproxy -c refused the config: ${complaint}`);
    await putInPlace(candidate);
    // Without a process there is nothing to reload: s6 starts one, and it reads this file.
    if (worker === undefined) await waitForStart();
    // One that was there before may have read another file, or have been there all the time.
    if (worker !== undefined || before !== undefined) await reload();
    await verifyServers(nodes);
    return worker ? "reload" : "start";
  } catch (error) {
    await restoreLastGood(worker).catch((problem: Error) =>
      console.error(`the last good config is not restored: ${problem.message}`),
    );
    throw error;
  }
}

/** From here on nobody knows what the process runs on, whatever ends the apply: {@link isUnfinished}. */
async function putInPlace(candidate: string): Promise<void> {
  await forgetWorker();
  await rename(candidate, paths.config);
}

/** Puts the last good file back and, where a reload may have got through, the process with it. */
async function restoreLastGood(worker: Worker | undefined): Promise<void> {
  const lastGood = await readIfThere(paths.applied);
  if (lastGood === undefined || lastGood === (await readIfThere(paths.config))) return;
  const candidate = await writeCandidate(paths.config, lastGood);
  const complaint = await checkConfig(candidate);
  if (complaint !== undefined) throw new Error(`${paths.applied}: ${complaint}`);
  await rename(candidate, paths.config);
  if (worker) await reload();
}

async function waitForStart(): Promise<void> {
  const deadline = Date.now() + START_DEADLINE_MS;
  while ((await readWorker()) === undefined) {
    if (Date.now() > deadline) {
      const why = await askWorker("show info").then(
        ([answer]) => answer.trim(),
        (error: Error) => error.message,
      );
      throw new Error(`haproxy did not answer within ${START_DEADLINE_MS / 1000} s: ${why}`);
    }
    await new Promise((resolve) => setTimeout(resolve, START_POLL_MS));
  }
}

/** Reads the backend back: what the process runs on must be what the file says. */
async function verifyServers(nodes: readonly ProxyNode[]): Promise<void> {
  const actual = (await readWorker())?.servers ?? [];
  if (!hasServers(actual, nodes)) {
    throw new Error(
      `backend ${BACKEND} runs with "${list(actual)}", the file says "${list(nodes)}"`,
    );
  }
}

/** Whether a worker balances over exactly these nodes; what it only drains does not count. */
export function hasServers(actual: readonly ServerStatus[], nodes: readonly ProxyNode[]): boolean {
  const names = new Set(nodes.map(({ name }) => name));
  return list(actual.filter((server) => !isDraining(server, names))) === list(nodes);
}

/** Whether a server is on its way out; one that is wanted was put into maintenance by a person. */
export function isDraining({ name, status }: ServerStatus, wanted: ReadonlySet<string>): boolean {
  return status.startsWith("MAINT") && !wanted.has(name);
}

function list(nodes: readonly ProxyNode[]): string {
  return nodes
    .map(({ name, address, port }) => `${name}=${address}:${port}`)
    .sort()
    .join(" ");
}
