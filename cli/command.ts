/** What all commands share: their arguments, `--help`, and how they end. */
import { parseArgs, type ParseArgsConfig } from "node:util";

/** An argument that the command does not have: the exit code is then 2. */
export class UsageError extends Error {}

/** How a command ends when it fails, and when its arguments are wrong. */
const FAILED = 1;
const MISUSED = 2;

/**
 * Reads the arguments as the configuration says; `--help` prints the usage and ends the command.
 *
 * @throws UsageError for an argument that it does not name
 */
export function parseCommand<T extends ParseArgsConfig>(
  usage: string,
  config: T,
): ReturnType<typeof parseArgs<T>> {
  if (process.argv.slice(2).some((arg) => arg === "--help" || arg === "-h")) {
    console.log(usage);
    process.exit(0);
  }
  try {
    return parseArgs(config);
  } catch (error) {
    // Node's own hint, how to pass a positional that begins with a dash, helps nobody here.
    const reason = (error as Error).message.split(". To specify")[0];
    throw new UsageError(`${reason}\n\n${usage}`, { cause: error });
  }
}

/**
 * Runs a command, which gives the process's exit code unless that is 0. What it throws is the last
 * thing on the screen.
 */
export function runCommand(work: () => Promise<number | void>, failed = FAILED): void {
  Promise.resolve()
    .then(work)
    .then((code) => (process.exitCode = code ?? 0))
    .catch((error: Error) => {
      console.error(`\n${error.message}`);
      process.exit(error instanceof UsageError ? MISUSED : failed);
    });
}
