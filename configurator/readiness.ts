import { describeCheck, isServing, type ServerStatus } from "./protocol/control";
import type { Declaration } from "./protocol/declaration";
import type { ProxySettings } from "../haproxy/render";
import { poll } from "../time/poll";
import { BACKEND, readWorker, type Worker } from "./haproxyProcess";
import { readNodes } from "./nodesFolder";
import { paths } from "./paths";
import { isDraining } from "./servers";

const POLL_MS = 50;

/** How long a person's maintenance or drain may be seen before nobody waits for its end, ms. */
const HELD_MS = 1000;

/** What somebody who waits may learn: a line for people, and the names of the nodes that do not serve. */
export type Progress = (line: string, waitingFor: string[]) => void;

/** Not all nodes serve at the deadline. */
export class NotServing extends Error {}

/**
 * Waits until HAProxy has passed a health check of each node since now, and has let go of every
 * server that was removed.
 *
 * @param before the worker as it was before the change that is waited for
 * @param deadline clock time, ms
 * @throws Error naming each node that does not serve and its last check, or one that the admin CLI
 *   keeps out of rotation
 */
export async function waitUntilServing(
  { nodes, settings }: Declaration,
  before: Worker | undefined,
  deadline: number,
  onProgress: Progress,
): Promise<void> {
  const pushedAt = Date.now();
  const old = new Set(before?.servers.map(({ name }) => name));
  let reported = "";
  let heldSince: number | undefined;
  /** What is still waited for; undefined when that is nothing. */
  const look = async (): Promise<string | undefined> => {
    const worker = await readWorker();
    const servers = new Map(worker?.servers.map((server) => [server.name, server]));
    // A new worker or server starts without results, so any it has is fresh. One that ran on may
    // still show a check from before: after an interval the next has begun, if not ended.
    const isProven = Date.now() > pushedAt + settings.checkIntervalMs + POLL_MS;
    const isFresh = ({ name, checking }: ServerStatus) =>
      worker?.id !== before?.id || !old.has(name) || (isProven && !checking);
    const waiting = nodes
      .map(({ name }) => ({ name, server: servers.get(name) }))
      .filter(({ server }) => server === undefined || !isServing(server) || !isFresh(server));
    const wanted = new Set((await readNodes(paths.nodes)).map(({ name }) => name));
    const draining = [...servers.values()].filter((server) => isDraining(server, wanted));
    if (waiting.length === 0 && draining.length === 0) return undefined;
    const unserved = waiting.filter(({ server }) => server === undefined || !isServing(server));
    const held = unserved.flatMap(({ server }) => (server ? describeHeld(server) : []));
    // For a moment also one that was just added.
    if (held.length === 0) heldSince = undefined;
    else if (Date.now() - (heldSince ??= Date.now()) > HELD_MS) throw new Error(held.join("; "));
    const line = unserved.map((it) => describeWait(it, settings.healthPath)).join(", ");
    if (line && line !== reported) {
      const names = unserved.map(({ name }) => name);
      onProgress(`waiting for ${(reported = line)}`, names);
    }
    return line || "no fresh check yet";
  };
  const left = await poll(look, (seen) => seen === undefined, until(deadline));
  if (left !== undefined) throw new NotServing(`not serving at the deadline: ${left}`);
}

const until = (deadline: number) => ({ everyMs: POLL_MS, withinMs: deadline - Date.now() });

/**
 * Waits until a new worker has passed a check of servers that served before it.
 *
 * @param deadline clock time, ms
 * @returns undefined, or as soon as one of them fails which it is and its check
 */
export async function findHarmed(
  names: ReadonlySet<string>,
  { healthPath }: ProxySettings,
  deadline: number,
): Promise<string | undefined> {
  const look = async () => {
    const servers = ((await readWorker())?.servers ?? []).filter(({ name }) => names.has(name));
    const unproven = servers.filter((server) => !isServing(server));
    const failed = unproven.find(({ check }) => !["", "INI", "L7OK"].includes(check));
    return { unproven, failed, isWhole: servers.length === names.size };
  };
  const { unproven, failed, isWhole } = await poll(
    look,
    (seen) => seen.failed !== undefined || (seen.isWhole && seen.unproven.length === 0),
    until(deadline),
  );
  const harmed = failed ?? unproven[0];
  if (harmed) return describeWait({ name: harmed.name, server: harmed }, healthPath);
  return isWhole ? undefined : "no answer from HAProxy";
}

/** Why a node does not count as serving yet. */
function describeWait(
  { name, server }: { name: string; server?: ServerStatus },
  healthPath: string,
): string {
  const why = server ? `${server.status}, ${describeCheck(server, healthPath)}` : "out of rotation";
  return `${name} (${why})`;
}

/** What ends a state that nothing but a person with the admin CLI gives to a declared server. */
function describeHeld({ name, status }: ServerStatus): string[] {
  const [word] = status.split(" ");
  const held: Record<string, [state: string, command: string]> = {
    MAINT: ["maintenance", `enable server ${BACKEND}/${name}`],
    DRAIN: ["drain", `set server ${BACKEND}/${name} state ready`],
  };
  if (held[word] === undefined) return [];
  const [state, command] = held[word];
  return [
    `${name} is in ${state}, set by HAProxy's admin CLI; ` +
      `take it back there with: ${command}, or run: npx pulumi up --refresh`,
  ];
}
