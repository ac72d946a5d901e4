/** Which stack a command works on. */
import { UsageError } from "./command";
import { readPulumi } from "./runPulumi";

/** The stack of a fresh clone. */
export const FIRST_STACK = "dev";

/** What is read here of `pulumi stack ls`. */
export interface ListedStack {
  name: string;
  /** Whether it is the selected one. */
  current: boolean;
  resourceCount: number;
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
  return new UsageError(
    `--stack: got ${stack}, expected one of the stacks that there are: ${there}`,
  );
}
