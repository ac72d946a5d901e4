/** The operator commands' way to the Pulumi CLI, through the launcher, and to programs out of sight. */
import { execFileSync, spawn, type SpawnOptions } from "node:child_process";
import { checkout, launcher } from "./setup/places";

/**
 * Runs the CLI in this terminal and waits for its end, also after a Ctrl-C: the CLI then winds up
 * its update and gives back its lock.
 *
 * @throws if it does not succeed; it has said why itself.
 */
export async function runPulumi(...args: string[]): Promise<void> {
  const wait = () => undefined;
  process.on("SIGINT", wait);
  try {
    const child = spawn(launcher, args, { cwd: checkout, stdio: "inherit" });
    const code = await new Promise((resolve, reject) =>
      child.on("close", resolve).on("error", reject),
    );
    if (code !== 0) {
      throw new Error(`pulumi ${args[0]} did not succeed; its message above says why`);
    }
  } finally {
    process.off("SIGINT", wait);
  }
}

/** What the CLI prints, read as JSON. */
export function readPulumi(...args: string[]): unknown {
  return JSON.parse(
    execFileSync(launcher, [...args, "--json"], { cwd: checkout, encoding: "utf8" }),
  );
}

interface AsideOptions extends Pick<SpawnOptions, "cwd" | "env"> {
  /** Passed on as SIGINT, on which Pulumi winds up. */
  signal?: AbortSignal;
}

/**
 * Runs a program out of the terminal's reach, so that a Ctrl-C is this command's to handle.
 *
 * @returns its standard output
 * @throws with all that it printed if it fails, or the signal's reason
 */
export async function runAside(
  [program, ...args]: string[],
  { signal, ...options }: AsideOptions = {},
): Promise<string> {
  signal?.throwIfAborted();
  const child = spawn(program, args, {
    cwd: checkout,
    ...options,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const interrupt = () => child.kill("SIGINT");
  signal?.addEventListener("abort", interrupt);
  let [stdout, printed] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => (printed += chunk.toString()));
  }
  try {
    const code = await new Promise<number | null>((resolve, reject) =>
      child.on("close", resolve).on("error", reject),
    );
    signal?.throwIfAborted();
    if (code === 0) return stdout;
    throw new Error(printed.trim() || `${program} ended with ${code}`);
  } finally {
    signal?.removeEventListener("abort", interrupt);
  }
}
