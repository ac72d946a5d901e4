/**
 * `npm start [-- --stack NAME]`: set-up, a repair if one is due, the lab of the selected stack or of
 * `dev`, then where to find it.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isInterrupted } from "../state/interruption";
import { repair } from "./repair";
import { readPulumi, runPulumi } from "./runPulumi";
import { setUp } from "./setup";
import { checkout } from "./setup/places";
import { parseCommand, runCommand } from "./command";
import { chooseFrom, FIRST_STACK, type ListedStack } from "./stack";

const USAGE = `usage: npm start [-- --stack NAME]

Sets up what is missing, repairs an interrupted update and deploys the lab of the stack: NAME, else the
selected one, else \`${FIRST_STACK}\`, which is made where there is none.`;

/** What the lab's outputs mean to somebody who wants to look at it. */
export function describeOutputs(outputs: Record<string, unknown>): string[] {
  const titles: [string, string][] = [
    ["url", "The lab"],
    ["statsUrl", "HAProxy's statistics"],
    ["adminAddress", "HAProxy's admin CLI"],
    ["nodeNames", "Web nodes"],
    ["nodeUrls", "Each node by itself"],
  ];
  return titles
    .filter(([key]) => outputs[key] !== undefined)
    .map(([key, title]) => `  ${title.padEnd(24)}${[outputs[key]].flat().join("  ")}`);
}

/** What a user may do next. @param stack is named where it is not the selected one */
export function describeNext(nodeCount: number, stack?: string): string {
  const option = stack === undefined ? "" : ` --stack ${stack}`;
  const pulumi = (command: string) => `npx pulumi ${command}${option}`;
  const scale = `${pulumi(`config set nodeCount ${nodeCount}`)} && ${pulumi("up")}`;
  const lines = [
    [scale, "another number of nodes"],
    [pulumi("preview --diff"), "what the next up would change"],
    [pulumi("destroy"), "take the lab down"],
  ];
  const width = Math.max(...lines.map(([command]) => command.length)) + 4;
  const described = lines.map(([command, what]) => `  ${command.padEnd(width)}${what}`);
  return ["\nTo try next:\n", ...described].join("\n");
}

/**
 * A stack file without the committed salt, which only the empty passphrase fits. A file that holds
 * secrets keeps its salt: they could not be read again.
 */
function withoutSalt(stackFile: string): string {
  return /^\s+secure:/m.test(stackFile)
    ? stackFile
    : stackFile.replace(/^encryptionsalt:.*\n/m, "");
}

/** @throws if Pulumi can't list them although the records that a killed CLI left are mended */
async function listStacks(asked: string | undefined): Promise<ListedStack[]> {
  const list = () => readPulumi("stack", "ls") as ListedStack[];
  try {
    return list();
  } catch {
    await repair(asked);
    return list();
  }
}

/**
 * Makes the first stack where there is none. A user's own passphrase then founds it: Pulumi writes a
 * salt that fits it. Which stack is selected stays as it is, if one is.
 */
async function seeToStack(stack: string, stacks: ListedStack[]): Promise<void> {
  if (stacks.some(({ name }) => name === stack)) {
    if (!stacks.some(({ current }) => current)) await runPulumi("stack", "select", stack);
    return;
  }
  const { PULUMI_CONFIG_PASSPHRASE, PULUMI_CONFIG_PASSPHRASE_FILE } = process.env;
  if (PULUMI_CONFIG_PASSPHRASE || PULUMI_CONFIG_PASSPHRASE_FILE) {
    const file = join(checkout, `Pulumi.${stack}.yaml`);
    writeFileSync(file, withoutSalt(readFileSync(file, "utf8")));
  }
  await runPulumi("stack", "init", stack);
}

async function start(asked: string | undefined): Promise<void> {
  await setUp();
  const stacks = await listStacks(asked);
  const stack = chooseFrom(stacks, asked);
  const selected = stacks.find(({ current }) => current)?.name ?? stack;
  if (isInterrupted(stack)) await repair(stack);
  await seeToStack(stack, stacks);
  // Without a preview of its own: nobody is asked, and the program need not run twice. With a look
  // at what runs: the lab is not up because a record says so. Of a lab that is there it shows what
  // changes, not a line for each resource that it looked at.
  const isThere = stacks.some(({ name, resourceCount }) => name === stack && resourceCount > 0);
  const options = ["--refresh", "--yes", "--skip-preview", ...(isThere ? ["--diff"] : [])];
  await runPulumi("up", ...options, "--stack", stack);
  const outputs = readPulumi("stack", "output", "--stack", stack) as { nodeNames: string[] };
  const next = describeNext(outputs.nodeNames.length + 1, stack === selected ? undefined : stack);
  console.log(["\nThe lab is up.\n", ...describeOutputs({ ...outputs }), next].join("\n"));
}

if (require.main === module) {
  runCommand(() =>
    start(parseCommand(USAGE, { options: { stack: { type: "string" } } }).values.stack),
  );
}
