import { setTimeout as delay } from "node:timers/promises";
import type { ProxyNode } from "../haproxy/render";
import { askWorker, BACKEND, readWorker } from "./haproxyProcess";

/** How long a removed server's requests may take before they are cut off, ms. */
const DRAIN_MS = 30_000;
const DRAIN_POLL = "1s";

/** They go as one line, which has to fit into HAProxy's buffer of 16 kB. */
const COMMANDS_AT_ONCE = 40;

/** A config taken apart: its server lines, and all the rest. */
interface Split {
  rest: string;
  /** Address and arguments by server name, as the file has them. */
  servers: Map<string, string>;
}

/** The servers of the backend, as the text of a haproxy.cfg lists them. */
export function splitServers(text: string): Split {
  const servers = new Map<string, string>();
  const rest: string[] = [];
  let section = "";
  for (const line of text.split("\n")) {
    if (/^\S/.test(line) && !line.startsWith("#")) section = line.trim();
    const server = /^\s+server (\S+) (.*)$/.exec(line);
    if (section === `backend ${BACKEND}` && server) servers.set(server[1], server[2]);
    else rest.push(line);
  }
  return { rest: rest.join("\n"), servers };
}

/** The same as nodes. */
export function listServers(text: string): ProxyNode[] {
  return [...splitServers(text).servers].map(([name, args]) => {
    const [address, port] = args.split(" ")[0].split(":");
    return { name, address, port: Number(port) };
  });
}

/** Whether one text becomes the other by adding and removing servers alone. */
export function differInServersOnly(before: string, after: string): boolean {
  const [old, now] = [splitServers(before), splitServers(after)];
  return (
    old.rest === now.rest &&
    [...now.servers].every(([name, args]) => (old.servers.get(name) ?? args) === args)
  );
}

/**
 * Brings the running worker from one text's servers to another's by the Runtime API, without a
 * reload. A removed server gets no new request from here on; {@link drainServer} takes it away.
 *
 * @throws Error with HAProxy's words when it refuses a step
 */
export async function changeServers(before: string, after: string): Promise<void> {
  const wanted = splitServers(after).servers;
  const applied = splitServers(before).servers;
  const actual = new Map((await readWorker())?.servers.map((server) => [server.name, server]));
  const commands: [command: string, answer: string][] = [];
  for (const { name, status } of actual.values()) {
    if (!wanted.has(name) && status !== "MAINT") commands.push([stateOf(name, "maint"), ""]);
  }
  for (const [name, args] of wanted) {
    const server = actual.get(name);
    if (server === undefined) {
      commands.push([`add server ${BACKEND}/${name} ${args}`, "New server registered."]);
    }
    // In maintenance without being applied: just added, added by an apply that was cut off, or
    // removed and wanted back. One that a person put into maintenance is applied, and stays so.
    if (server === undefined || (server.status === "MAINT" && !applied.has(name))) {
      commands.push([`enable health ${BACKEND}/${name}`, ""]);
      commands.push([stateOf(name, "ready"), ""]);
      // Not trusted before its first check: it may be a node that starts only now.
      commands.push([`set server ${BACKEND}/${name} health down`, ""]);
    }
  }
  if (commands.length === 0) return;
  for (let at = 0; at < commands.length; at += COMMANDS_AT_ONCE) {
    const some = commands.slice(at, at + COMMANDS_AT_ONCE);
    const answers = await askWorker(...some.map(([command]) => command));
    some.forEach(([command, wantedAnswer], i) => {
      if (answers[i].trim() !== wantedAnswer) throw new Error(`${command}: ${answers[i].trim()}`);
    });
  }
}

const stateOf = (name: string, state: string) => `set server ${BACKEND}/${name} state ${state}`;

/**
 * Takes a server out of the worker that {@link changeServers} took out of rotation, when its last
 * request has ended; one that lasts longer than {@link DRAIN_MS} is cut off.
 */
export async function drainServer(name: string): Promise<void> {
  const server = `${BACKEND}/${name}`;
  const deadline = Date.now() + DRAIN_MS;
  for (;;) {
    const [, deleted] = await askWorker(
      `wait ${DRAIN_POLL} srv-removable ${server}`,
      `del server ${server}`,
    );
    const answer = deleted.trim();
    // No longer removed, or not there any more: another change has come in between.
    if (/^(Server deleted|Only servers in maintenance|No such server)/.test(answer)) return;
    if (Date.now() > deadline) await askWorker(`shutdown sessions server ${server}`);
    await delay(100);
  }
}
