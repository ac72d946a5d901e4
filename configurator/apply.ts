import { rename, rm } from "node:fs/promises";
import type { ApplyMethod } from "./protocol/watch";
import type { ProxyNode } from "../haproxy/render";
import { poll } from "../time/poll";
import { readIfThere, replaceFile, writeCandidate } from "./files";
import { BACKEND, askWorker, checkConfig, readWorker, reload, type Worker } from "./haproxyProcess";
import { paths } from "./paths";
import {
  changeServers,
  describeServerState,
  differInServersOnly,
  hasServers,
  listPlaces,
} from "./servers";

const START_DEADLINE_MS = 5000;
const START_POLL_MS = 20;

/** Everything that decides what is to be done for a text to be the running configuration. */
export interface Snapshot {
  /** haproxy.cfg as it should be. */
  text: string;
  /** The servers that the running process must then have. */
  nodes: readonly ProxyNode[];
  /**
   * What to do with an edit of the file by hand when nothing else has changed: it is kept for a person
   * to judge, unless a push says what should be there.
   */
  drift: "keep" | "repair";
  /** The last text that HAProxy was seen running on. */
  applied?: string;
  /** The file as it is. */
  live?: string;
  /** Whether HAProxy can't start on the file as it is. Nobody needs to know while a worker runs. */
  isBroken: boolean;
  worker?: Worker;
  /** Id of the worker that was seen running on the applied text; none if an apply was cut off. */
  recorded?: string;
}

/**
 * What brings a text about: nothing, a note that the worker runs on it, the Runtime API, or the file and
 * a reload. Without a worker nothing is done for a file that is right, since s6 is about to start one.
 */
export type Step = "none" | "record" | "servers" | "file";

/** Decides how a text becomes the running configuration. */
export function decideApply(snapshot: Snapshot): Step {
  const { text, nodes, drift, applied, live, isBroken, worker, recorded } = snapshot;
  const isOnDisk = live === text;
  const isRunning = worker ? hasServers(worker.servers, nodes) : isOnDisk || !isBroken;
  const isApplied = worker !== undefined && worker.id === recorded;
  if (text === applied && (isOnDisk || drift === "keep") && isRunning && recorded !== undefined) {
    return worker && isOnDisk && !isApplied ? "record" : "none";
  }
  // Of any other worker nobody knows what it runs on.
  return isApplied && applied !== undefined && differInServersOnly(applied, text)
    ? "servers"
    : "file";
}

/** What an apply was. */
export interface Applied {
  way: ApplyMethod;
  /** How long it took, ms. */
  ms: number;
  /** The text that HAProxy ran on before, if any. */
  before?: string;
  /** Whether the file had been edited by hand, and is no longer. */
  isEditGone: boolean;
}

/**
 * The one way by which a text becomes the running configuration, whoever asks. Where only servers
 * change: file → Runtime API → read back, and the worker runs on. Else, or when that fails:
 * candidate file → `haproxy -c` → rename → reload → read back; on a failure the last good file is
 * restored. The file is always written first, so a process that dies on the way starts right.
 *
 * @returns undefined when HAProxy runs on the text already
 * @throws Error with HAProxy's own words; file and process are then as before
 */
export async function applyIfNeeded(
  wanted: Pick<Snapshot, "text" | "nodes" | "drift">,
): Promise<Applied | undefined> {
  const started = Date.now();
  const snapshot = await takeSnapshot(wanted);
  const step = decideApply(snapshot);
  if (step === "none") return undefined;
  if (step === "record") return void (await recordWorker(snapshot.worker!));
  const changed = step === "servers" ? await applyServers(snapshot) : undefined;
  const { way, worker } = changed ?? (await applyFile(snapshot));
  await replaceFile(paths.applied, wanted.text);
  await recordWorker(worker);
  const { applied: before, live, recorded } = snapshot;
  // What an apply that was cut off has left is no edit.
  const isEditGone = recorded !== undefined && live !== before && live !== wanted.text;
  return { way, ms: Date.now() - started, before, isEditGone };
}

async function takeSnapshot(wanted: Pick<Snapshot, "text" | "nodes" | "drift">): Promise<Snapshot> {
  const [worker, applied, live, recorded] = await Promise.all([
    readWorker(),
    ...[paths.applied, paths.config, paths.worker].map(readIfThere),
  ]);
  const isBroken =
    !worker && live !== wanted.text && (await checkConfig(paths.config)) !== undefined;
  return { ...wanted, applied, live, isBroken, worker, recorded };
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

/** What the worker runs on is no longer the applied text alone, so the next apply is a reload. */
export async function forgetWorker(): Promise<void> {
  await rm(paths.worker, { force: true });
}

/** Notes that a worker runs on the applied text. */
const recordWorker = ({ id }: Worker) => replaceFile(paths.worker, id);

/** How a text was applied, and the worker that was then seen with its servers. */
interface Outcome {
  way: ApplyMethod;
  worker: Worker;
}

/** @returns undefined when it takes a reload after all */
async function applyServers(snapshot: Snapshot): Promise<Outcome | undefined> {
  const { text, nodes, applied, worker } = snapshot;
  try {
    await putInPlace(await writeCandidate(paths.config, text), snapshot);
    await changeServers(worker!.servers, applied!, text, nodes);
    return { way: "Runtime API", worker: await verifyServers(nodes) };
  } catch (error) {
    console.error(`reloading, because: ${(error as Error).message}`);
    return undefined;
  }
}

async function applyFile(snapshot: Snapshot): Promise<Outcome> {
  const { text, nodes, live, worker } = snapshot;
  try {
    const candidate = await writeCandidate(paths.config, text);
    const complaint = await checkConfig(candidate);
    if (complaint !== undefined) throw new Error(`haproxy -c refused the config: ${complaint}`);
    await putInPlace(candidate, snapshot);
    // Without a process there is nothing to reload: s6 starts one, and it reads this file.
    if (worker === undefined) await waitForStart();
    // One that was there before may have read another file, or have been there all the time.
    if (worker !== undefined || live !== undefined) await reload();
    return { way: worker ? "reload" : "start", worker: await verifyServers(nodes) };
  } catch (error) {
    await restoreLastGood(worker).catch((problem: Error) =>
      console.error(`the last good config is not restored: ${problem.message}`),
    );
    throw error;
  }
}

/** From here on nobody knows what the process runs on, whatever ends the apply. */
async function putInPlace(
  candidate: string,
  { text, nodes, worker }: Pick<Snapshot, "text" | "nodes" | "worker">,
): Promise<void> {
  await forgetWorker();
  if (text.includes(paths.serverState)) {
    await replaceFile(paths.serverState, describeServerState(nodes, worker?.servers ?? []));
  }
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
  const options = { everyMs: START_POLL_MS, withinMs: START_DEADLINE_MS };
  if (await poll(readWorker, (worker) => worker !== undefined, options)) return;
  const why = await askWorker("show info").then(
    ([answer]) => answer.trim(),
    (error: Error) => error.message,
  );
  throw new Error(`haproxy did not answer within ${START_DEADLINE_MS / 1000} s: ${why}`);
}

/** Reads the backend back: what the process runs on must be what the file says. */
async function verifyServers(nodes: readonly ProxyNode[]): Promise<Worker> {
  const worker = await readWorker();
  if (worker && hasServers(worker.servers, nodes)) return worker;
  throw new Error(
    `backend ${BACKEND} runs with "${listPlaces(worker?.servers ?? [])}", the file says "${listPlaces(nodes)}"`,
  );
}
