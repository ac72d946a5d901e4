import { setTimeout as delay } from "node:timers/promises";
import type { ServerStatus } from "./protocol/control";
import type { ProxyNode } from "../haproxy/render";
import { askWorker, BACKEND } from "./haproxyProcess";

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

/** Whether a worker balances over exactly these nodes; what it only drains does not count. */
export function hasServers(actual: readonly ServerStatus[], nodes: readonly ProxyNode[]): boolean {
  const names = new Set(nodes.map(({ name }) => name));
  const balanced = actual.filter((server) => !isDraining(server, names));
  return listPlaces(balanced) === listPlaces(nodes);
}

/** Whether a server is on its way out; one that is wanted was put into maintenance by a person. */
export function isDraining({ name, status }: ServerStatus, wanted: ReadonlySet<string>): boolean {
  return status.startsWith("MAINT") && !wanted.has(name);
}

/** Nodes with their addresses, in one order, for people and to compare. */
export function listPlaces(nodes: readonly ProxyNode[]): string {
  return nodes
    .map(({ name, address, port }) => `${name}=${address}:${port}`)
    .sort()
    .join(" ");
}

/** A command, and what HAProxy answers to it when all is well. */
type Change = [command: string, answer: string | RegExp];

/**
 * Brings the running worker from one text's servers to another's by the Runtime API, without a
 * reload. A removed server gets no new request from here on; {@link drainServer} takes it away.
 *
 * @param servers what the worker has
 * @param nodes the servers with the addresses that they are to have, which a text may not say
 * @throws Error with HAProxy's words when it refuses a step
 */
export async function changeServers(
  servers: readonly ServerStatus[],
  before: string,
  after: string,
  nodes: readonly ProxyNode[],
): Promise<void> {
  const wanted = splitServers(after).servers;
  const places = new Map(nodes.map((node) => [node.name, `${node.address}:${node.port}`]));
  const applied = splitServers(before).servers;
  const actual = new Map(servers.map((server) => [server.name, server]));
  const commands: Change[] = [];
  for (const { name, status } of actual.values()) {
    if (!wanted.has(name) && status !== "MAINT") commands.push([stateOf(name, "maint"), ""]);
  }
  for (const [name, args] of wanted) {
    const server = actual.get(name);
    if (server === undefined) {
      const placed = args.replace(/^\S+/, places.get(name)!);
      commands.push([`add server ${BACKEND}/${name} ${placed}`, "New server registered."]);
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
  commands.push(...moveServers(actual, nodes));
  await carryOut(commands);
}

/**
 * What a worker that starts is to know of the servers where haproxy.cfg names them without addresses, in
 * HAProxy's own format (management.txt, "show servers state"). It goes by their names: the ids, which
 * only HAProxy knows, are 0. As after any start a server counts as up until it is checked, but for one
 * that was down.
 */
export function describeServerState(
  nodes: readonly ProxyNode[],
  servers: readonly ServerStatus[],
): string {
  const down = new Set(
    servers.filter(({ status }) => status.startsWith("DOWN")).map(({ name }) => name),
  );
  const rows = nodes.map(({ name, address, port }) => {
    const [state, health] = down.has(name) ? [0, 0] : [2, 2];
    return `0 ${BACKEND} 0 ${name} ${address} ${state} 0 1 1 0 1 0 ${health} 6 0 0 0 - ${port} - 0 0 - - 0`;
  });
  return ["1", `# ${STATE_COLUMNS.join(" ")}`, ...rows, ""].join("\n");
}

const STATE_COLUMNS = [
  ...["be_id", "be_name", "srv_id", "srv_name", "srv_addr", "srv_op_state", "srv_admin_state"],
  ...["srv_uweight", "srv_iweight", "srv_time_since_last_change", "srv_check_status"],
  ...["srv_check_result", "srv_check_health", "srv_check_state", "srv_agent_state"],
  ...["bk_f_forced_id", "srv_f_forced_id", "srv_fqdn", "srv_port", "srvrecord", "srv_use_ssl"],
  ...["srv_check_port", "srv_check_addr", "srv_agent_addr", "srv_agent_port"],
];

function moveServers(
  actual: ReadonlyMap<string, ServerStatus>,
  nodes: readonly ProxyNode[],
): Change[] {
  return nodes.flatMap(({ name, address, port }): Change[] => {
    const server = actual.get(name);
    if (server === undefined || (server.address === address && server.port === port)) return [];
    return [
      [`set server ${BACKEND}/${name} addr ${address} port ${port}`, / changed from /],
      [`set server ${BACKEND}/${name} health down`, ""],
    ];
  });
}

async function carryOut(commands: Change[]): Promise<void> {
  for (let at = 0; at < commands.length; at += COMMANDS_AT_ONCE) {
    const some = commands.slice(at, at + COMMANDS_AT_ONCE);
    const answers = await askWorker(...some.map(([command]) => command));
    some.forEach(([command, wantedAnswer], i) => {
      const answer = answers[i].trim();
      const isWell =
        typeof wantedAnswer === "string" ? answer === wantedAnswer : wantedAnswer.test(answer);
      if (!isWell) throw new Error(`${command}: ${answer}`);
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
  // No poll: it does not end at the deadline but does more from then on.
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
