/** The clock of the benchmark: commands, and when something can first be seen from outside. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { createInterface } from "node:readline";
import { findOnPath, installPackages } from "../cli/setup/commands";
import { poll } from "../time/poll";

export interface RunOptions {
  cwd?: string;
  /** Beside this process's own. */
  env?: Record<string, string>;
  /** Called with each line at the moment it is printed. */
  onLine?: (line: string) => void;
}

/**
 * Runs a command.
 *
 * @returns what it printed
 * @throws with its output if it fails
 */
export async function run(
  [command, ...args]: string[],
  { cwd, env, onLine }: RunOptions = {},
): Promise<string> {
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      lines.push(line);
      onLine?.(line);
    });
  }
  const [code, signal] = (await once(child, "close")) as [number | null, string | null];
  const output = lines.join("\n");
  if (code !== 0)
    throw new Error(`${command} ${args.join(" ")} ended with ${code ?? signal}:\n${output}`);
  return output;
}

/** How long something takes, s. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

/** The kernel counts in hundredths of a second here: USER_HZ. */
export const TICKS_A_SECOND = 100;

/** What all processors have been busy since the start of the machine, s. */
export function readBusy(): number {
  const [user, nice, system, , , irq, softirq] = readFileSync("/proc/stat", "utf8")
    .split("\n")[0]
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return (user + nice + system + irq + softirq) / TICKS_A_SECOND;
}

/** The tag in the answer, empty if it has none, or undefined if there is no good answer within a second. */
export function ask(host: string, port: number, path = "/"): Promise<string | undefined> {
  return new Promise((resolve) => {
    const sent = request({ host, port, path, agent: false, timeout: 1000 });
    sent.on("timeout", () => sent.destroy()).on("error", () => resolve(undefined));
    sent.on("response", (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
      response.on("end", () =>
        resolve(
          response.statusCode === 200
            ? ((JSON.parse(body) as { tag?: string }).tag ?? "")
            : undefined,
        ),
      );
    });
    sent.end();
  });
}

/** When a condition first holds, by the clock of `performance.now()`. */
export async function whenTrue(
  condition: () => Promise<boolean>,
  withinMs: number,
): Promise<number> {
  const holds = await poll(condition, Boolean, { everyMs: 4, withinMs });
  if (!holds) throw new Error("it did not come to be in time");
  return performance.now();
}

/** Waits until so many different nodes have answered on a port of this host. */
export async function whenAnswered(port: number, nodes: number, withinMs: number): Promise<void> {
  const tags = new Set<string>();
  const condition = async () => {
    const tag = await ask("127.0.0.1", port);
    if (tag !== undefined) tags.add(tag);
    return tags.size >= nodes;
  };
  await whenTrue(condition, withinMs);
}

/** Sees to it that a program of Debian's is there. */
export async function needProgram(
  name: string,
  purpose: string,
  progress: (line: string) => void,
): Promise<void> {
  if (findOnPath(name)) return;
  progress(`installing Debian's ${name}, ${purpose}`);
  await installPackages(name);
}
