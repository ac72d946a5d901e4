import { execFile } from "node:child_process";
import { createConnection } from "node:net";
import type { ProxyNode } from "../../../haproxy/render";
import { paths } from "./paths";

const CLI_TIMEOUT_MS = 20_000;

/** The CLI ends each answer with an empty line; management.txt, 9.3. */
const END_OF_ANSWER = "\n\n";

/** The proxy whose servers are the nodes. */
export const BACKEND = "nodes";

/** One server of the backend as the running worker sees it. */
export interface ServerStatus extends ProxyNode {
  /** HAProxy's word for it: UP, DOWN, `UP 1/2`, MAINT, … */
  status: string;
  /** Result of the last health check, L7OK when it passed; empty before the first. */
  check: string;
}

/**
 * Asks HAProxy's own parser about a file.
 *
 * @returns undefined when the file is good, else what HAProxy said
 */
export function checkConfig(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile("haproxy", ["-c", "-f", path], (error, stdout, stderr) =>
      resolve(error ? `${stdout}${stderr}`.trim() || error.message : undefined),
    );
  });
}

/**
 * Sends one command to the master CLI and gives its whole answer. A command that begins with `@1`
 * is for the current worker: asked through the master, an old worker cannot answer in its place.
 */
export function askMaster(command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(paths.master);
    let answer = "";
    socket.setEncoding("utf8").setTimeout(CLI_TIMEOUT_MS, () => {
      socket.destroy(new Error(`haproxy did not answer "${command}" in ${CLI_TIMEOUT_MS} ms`));
    });
    // Not ended after the command: the master cuts a long answer short when our side has closed.
    socket.on("connect", () => socket.write(`${command}\n`));
    socket.on("data", (chunk: string) => {
      answer += chunk;
      if (answer.endsWith(END_OF_ANSWER)) socket.end();
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(answer));
  });
}

/**
 * Has the master load the file anew and waits until the new worker has taken over.
 *
 * @throws Error with HAProxy's own lines when it kept the old worker
 */
export async function reload(): Promise<void> {
  const answer = await askMaster("reload");
  if (!answer.startsWith("Success=1")) throw new Error(`haproxy did not reload: ${answer.trim()}`);
}

/** The backend's servers in the current worker. */
export async function readServers(): Promise<ServerStatus[]> {
  const [header, ...rows] = (await askMaster(`@1 show stat ${BACKEND} 4 -1`)).trim().split("\n");
  const columns = header.replace(/^# /, "").split(",");
  return rows.map((row) => {
    const cells = row.split(",");
    const cell = (column: string) => cells[columns.indexOf(column)] ?? "";
    const [address, port] = cell("addr").split(":");
    return {
      name: cell("svname"),
      address,
      port: Number(port),
      status: cell("status"),
      // A star marks a check that is being made; the word is the result of the one before.
      check: cell("check_status").replace(/^\* /, ""),
    };
  });
}
