/** The operator commands' way to the Pulumi CLI: through the launcher, at the checkout's root. */
import { execFileSync, spawn } from "node:child_process";
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
