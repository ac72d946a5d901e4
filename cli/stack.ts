/** Which stack an operator command works on, what Pulumi records of it, and how a command ends. */
import { execFileSync } from "node:child_process";
import type { Deployment } from "./repairPlan";
import { readPulumi } from "./runPulumi";
import { checkout, launcher } from "./setup/places";

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

/** The stack's state. */
export function readDeployment(stack: string): Deployment {
  const exported = execFileSync(launcher, ["stack", "export", "--stack", stack], {
    cwd: checkout,
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  });
  return (JSON.parse(exported) as { deployment: Deployment }).deployment;
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
