/** Which stack an operator command works on, and how a command ends. */
import { readPulumi } from "./runPulumi";

/** The stack of a fresh clone. */
export const FIRST_STACK = "dev";

/** What is read here of `pulumi stack ls`. */
export interface ListedStack {
  name: string;
  /** Whether it is the selected one. */
  current: boolean;
}

/**
 * @param asked name of the stack; without one the selected stack, else the first, there or not
 * @throws if the one that is asked for is not there, naming those that there are
 */
export function chooseFrom(stacks: ListedStack[], asked: string | undefined): string {
  const stack = asked ?? stacks.find(({ current }) => current)?.name ?? FIRST_STACK;
  if (stack === FIRST_STACK || stacks.some(({ name }) => name === stack)) return stack;
  throw noSuchStack(stack, stacks);
}

/**
 * @param asked name of the stack; without one the selected stack, else `dev`
 * @throws if there is no such stack, naming those that there are
 */
export function chooseStack(asked: string | undefined): string {
  const stacks = readPulumi("stack", "ls") as ListedStack[];
  const stack = chooseFrom(stacks, asked);
  if (stacks.some(({ name }) => name === stack)) return stack;
  throw noSuchStack(stack, stacks);
}

function noSuchStack(stack: string, stacks: ListedStack[]): Error {
  const there = stacks.map(({ name }) => name).join(", ") || "none";
  return new Error(`there is no stack ${stack}; there is: ${there}`);
}

/** Runs an operator command, which gives the process's exit code unless that is 0; 2 for wrong options. */
export function runCommand(work: () => Promise<number | void>): void {
  Promise.resolve()
    .then(work)
    .then((code) => (process.exitCode = code ?? 0))
    .catch((error: Error) => {
      console.error(`\n${error.message}`);
      const isUsage = "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS");
      process.exit(isUsage ? 2 : 1);
    });
}
