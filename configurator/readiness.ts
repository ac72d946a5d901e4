import { setTimeout as delay } from "node:timers/promises";
import { isServing, type ServerStatus } from "./protocol/control";
import type { Declaration } from "./protocol/declaration";
import { isDraining } from "./apply";
import { readWorker, type Worker } from "./haproxyProcess";
import { readNodes } from "./nodesFolder";
import { paths } from "./paths";

const POLL_MS = 50;

/** What somebody who waits may learn: a line for people. */
export type Report = (line: string) => void;

/**
 * Waits until HAProxy has passed a health check of each node since now, and has let go of every
 * server that was removed.
 *
 * @param before the worker as it was before the change that is waited for
 * @param deadline clock time, ms
 * @throws Error naming each node that does not serve and its last check
 */
export async function waitUntilServing(
  { nodes, settings }: Declaration,
  before: Worker | undefined,
  deadline: number,
  report: Report,
): Promise<void> {
  const pushedAt = Date.now();
  const old = new Set(before?.servers.map(({ name }) => name));
  let reported = "";
  for (;;) {
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
    if (waiting.length === 0 && draining.length === 0) return;
    const unserved = waiting.filter(({ server }) => server === undefined || !isServing(server));
    const line = unserved.map(describeWait).join(", ");
    if (Date.now() > deadline) {
      throw new Error(`not serving at the deadline: ${line || "no fresh check yet"}`);
    }
    if (line && line !== reported) report(`waiting for ${(reported = line)}`);
    await delay(POLL_MS);
  }
}

/** Why a node does not count as serving yet. */
function describeWait({ name, server }: { name: string; server?: ServerStatus }): string {
  return `${name} (${server?.status ?? "out of rotation"}, last check ${server?.check || "none"})`;
}
