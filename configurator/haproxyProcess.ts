import { execFile } from "node:child_process";
import { createConnection } from "node:net";
import type { ServerStatus } from "./protocol/control";
import type { Counters, Sample } from "./protocol/watch";
import { replaceFile } from "./files";
import { paths } from "./paths";

const CLI_TIMEOUT_MS = 20_000;

/** `dump stats-file` gives the frontends and then the backends, each with an empty line at its end. */
const STATS_SECTIONS = 2;

/** The proxy whose servers are the nodes. */
export const BACKEND = "nodes";
/** The proxy that clients ask. */
const FRONTEND = "localnodes";

/** HAProxy's current worker. */
export interface Worker {
  /** Tells this process from any other, also from one with its pid in an earlier start. */
  id: string;
  servers: ServerStatus[];
}

/**
 * Asks HAProxy's own parser about a haproxy.cfg, beside the users.cfg that is there.
 *
 * @returns undefined when the file is good, else what HAProxy said
 */
export function checkConfig(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const args = ["-c", "-f", paths.users, "-f", path];
    execFile("haproxy", args, { maxBuffer: 2 ** 24 }, (error, stdout, stderr) =>
      resolve(error ? `${stdout}${stderr}`.trim() || error.message : undefined),
    );
  });
}

/**
 * Sends commands to the master CLI, on one connection.
 *
 * @param parts how many parts that end with an empty line come back: one for each command, as a rule
 */
function askMaster(commands: string[], parts = commands.length): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(paths.master);
    let text = "";
    socket.setEncoding("utf8").setTimeout(CLI_TIMEOUT_MS, () => {
      socket.destroy(new Error(`haproxy did not answer "${commands[0]}" in ${CLI_TIMEOUT_MS} ms`));
    });
    // Not ended after the commands: the master cuts a long answer short when our side has closed.
    socket.on("connect", () => socket.write(`${commands.join("; ")}\n`));
    socket.on("data", (chunk: string) => {
      text += chunk;
      if (chunk.endsWith("\n") && splitAnswers(text).length >= parts) socket.end();
    });
    socket.on("error", reject);
    socket.on("close", () => {
      const answers = splitAnswers(text);
      if (answers.length >= parts) resolve(answers);
      else reject(new Error(`haproxy went away while it answered "${commands[0]}"`));
    });
  });
}

/** The CLI ends each answer, an empty one too, with an empty line; management.txt, 9.3. */
function splitAnswers(text: string): string[] {
  return text.split(/^\n/m).slice(0, -1);
}

/**
 * Sends commands of the Runtime API to the current worker. Asked through the master, an old worker
 * cannot answer in its place.
 */
export function askWorker(...commands: string[]): Promise<string[]> {
  return askMaster(commands.map((command) => `@1 ${command}`));
}

/**
 * Has the master load the file anew and waits until the new worker has taken over, with the counters
 * of the old one as they were just before.
 *
 * @throws Error with HAProxy's own lines when it kept the old worker
 */
export async function reload(): Promise<void> {
  const counters = await askMaster(["@1 dump stats-file"], STATS_SECTIONS);
  await replaceFile(paths.statsFile, counters.join("\n"));
  const [answer] = await askMaster(["reload"]);
  if (!answer.startsWith("Success=1")) throw new Error(`haproxy did not reload: ${answer.trim()}`);
}

/** The current worker and the backend's servers in it; undefined while there is none. */
export async function readWorker(): Promise<Worker | undefined> {
  try {
    const [info, stat] = await askWorker("show info", `show stat ${BACKEND} 4 -1`);
    const field = (name: string) => new RegExp(`^${name}: (.*)$`, "m").exec(info)?.[1];
    // The master answers in its own words while it has no worker.
    if (field("Pid") === undefined) return undefined;
    const id = `${field("Pid")} ${field("Start_time_sec")}`;
    return { id, servers: parseServers(stat) };
  } catch {
    return undefined;
  }
}

/** The counters now, of the frontend and of each server; of none while there is no worker. */
export async function readTraffic(): Promise<Sample> {
  const commands = [`show stat ${FRONTEND} 1 -1`, `show stat ${BACKEND} 4 -1`];
  const [frontend, servers] = await askWorker(...commands).catch(() => ["", ""]);
  return {
    at: Date.now(),
    frontend: parseTable(frontend, ",").map((cell) => parseCounters(cell, "req_tot"))[0],
    servers: parseTable(servers, ",").map((cell) => ({
      ...parseServer(cell),
      ...parseCounters(cell, "stot"),
    })),
  };
}

/** What a row has in a column. */
type Cell = (column: string) => string;

/** A row of CSV. The reason of an application's answer is among it, and may hold commas. */
export function splitRow(row: string): string[] {
  // Most rows have no quotes, and HAProxy may show hundreds of them.
  if (!row.includes('"')) return row.split(",");
  const cells = row.match(/("([^"]|"")*"|[^,]*)(,|$)/g) ?? [];
  return cells.map((cell) =>
    cell.replace(/,$/, "").replace(/^"([^]*)"$/, (_, text: string) => text.replaceAll('""', '"')),
  );
}

/** A table that HAProxy shows, its header marked with `# `: a row gives its cells by column. */
export function parseTable(text: string, separator: string): Cell[] {
  const lines = text.trim().split("\n");
  const at = lines.findIndex((line) => line.startsWith("# "));
  if (at < 0) return [];
  const columns = lines[at].slice(2).split(separator);
  return lines.slice(at + 1).map((line) => {
    const cells = separator === "," ? splitRow(line) : line.split(separator);
    return (column) => cells[columns.indexOf(column)] ?? "";
  });
}

/** @param requests a server counts each request as a session of its own */
function parseCounters(cell: Cell, requests: "req_tot" | "stot"): Counters {
  return {
    sessions: Number(cell("scur")),
    requests: Number(cell(requests)),
    errors: Number(cell("hrsp_5xx")) + Number(cell("econ")),
  };
}

function parseServers(stat: string): ServerStatus[] {
  return parseTable(stat, ",").map(parseServer);
}

function parseServer(cell: Cell): ServerStatus {
  const [address, port] = cell("addr").split(":");
  // A star marks a check that is being made; the word is the result of the one before.
  const check = cell("check_status");
  return {
    name: cell("svname"),
    address,
    port: Number(port),
    status: cell("status"),
    check: check.replace(/^\* /, ""),
    checkStatus: cell("check_code"),
    checkDetail: cell("last_chk"),
    checking: check.startsWith("* "),
  };
}
