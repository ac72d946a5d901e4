/** `npm start`: set-up, a repair if one is due, the lab of stack `dev`, then where to find it. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isInterrupted } from "../state/interruption";
import { repair } from "./repair";
import { readPulumi, runPulumi } from "./runPulumi";
import { setUp } from "./setup";
import { checkout } from "./setup/places";

const STACK = "dev";

/** What the lab's outputs mean to somebody who wants to look at it. */
export function describeOutputs(outputs: Record<string, unknown>): string[] {
  const titles: [string, string][] = [
    ["url", "The lab"],
    ["statsUrl", "HAProxy's statistics"],
    ["adminAddress", "HAProxy's admin socket"],
    ["nodeNames", "Web nodes"],
    ["nodeUrls", "Each node by itself"],
  ];
  return titles
    .filter(([key]) => outputs[key] !== undefined)
    .map(([key, title]) => `  ${title.padEnd(24)}${[outputs[key]].flat().join("  ")}`);
}

const next = `
To try next:

  npx pulumi config set nodeCount 5 && npx pulumi up    another number of nodes
  npx pulumi preview --diff                             what the next up would change
  npx pulumi destroy                                    take the lab down`;

/**
 * A stack file without the committed salt, which only the empty passphrase fits. A file that holds
 * secrets keeps its salt: they could not be read again.
 */
function withoutSalt(stackFile: string): string {
  return /^\s+secure:/m.test(stackFile)
    ? stackFile
    : stackFile.replace(/^encryptionsalt:.*\n/m, "");
}

/**
 * Makes the stack where there is none. A user's own passphrase then founds it: Pulumi writes a salt
 * that fits it. Which stack is selected stays as it is, if one is.
 */
async function seeToStack(): Promise<void> {
  const stacks = readPulumi("stack", "ls") as { name: string; current: boolean }[];
  if (stacks.some(({ name }) => name === STACK)) {
    if (!stacks.some(({ current }) => current)) await runPulumi("stack", "select", STACK);
    return;
  }
  const { PULUMI_CONFIG_PASSPHRASE, PULUMI_CONFIG_PASSPHRASE_FILE } = process.env;
  if (PULUMI_CONFIG_PASSPHRASE || PULUMI_CONFIG_PASSPHRASE_FILE) {
    const file = join(checkout, `Pulumi.${STACK}.yaml`);
    writeFileSync(file, withoutSalt(readFileSync(file, "utf8")));
  }
  await runPulumi("stack", "init", STACK);
}

async function start(): Promise<void> {
  await setUp();
  if (isInterrupted(STACK)) await repair(STACK);
  await seeToStack();
  // Without a preview of its own: nobody is asked, and the program need not run twice. With a look
  // at what runs: the lab is not up because a record says so.
  await runPulumi("up", "--refresh", "--stack", STACK, "--yes", "--skip-preview");
  const outputs = readPulumi("stack", "output", "--stack", STACK) as Record<string, unknown>;
  console.log(["\nThe lab is up.\n", ...describeOutputs(outputs), next].join("\n"));
}

if (require.main === module) {
  start().catch((error: Error) => {
    console.error(`\n${error.message}`);
    process.exit(1);
  });
}
