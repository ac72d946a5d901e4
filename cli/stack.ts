/** Which stack an operator command works on, and how a command ends. */
import { readPulumi } from "./runPulumi";

/**
 * @param asked name of the stack; without one the selected stack, else `dev`
 * @throws if there is no such stack, naming those that there are
 */
export function chooseStack(asked: string | undefined): string {
  const stacks = readPulumi("stack", "ls") as { name: string; current: boolean }[];
  const stack = asked ?? stacks.find(({ current }) => current)?.name ?? "dev";
  if (stacks.some(({ name }) => name === stack)) return stack;
  const there = stacks.map(({ name }) => name).join(", ") || "none";
  throw new Error(`there is no stack ${stack}; there is: ${there}`);
}

/** Runs an operator command, which gives the process's exit code unless that is 0. */
export function runCommand(work: () => Promise<number | void>): void {
  Promise.resolve()
    .then(work)
    .then((code) => (process.exitCode = code ?? 0))
    .catch((error: Error) => {
      console.error(`\n${error.message}`);
      process.exit(1);
    });
}
