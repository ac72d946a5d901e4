/** `npm run clean [-- --stack NAME]`: takes a lab down, `dev` unless named, and removes its images. */
import { execFileSync } from "node:child_process";
import { parseArgs } from "node:util";
import { imageNames, STACK_LABEL } from "../config/topology";
import { connectEngine } from "../docker/engine";
import { removeContainer } from "../docker/remove";
import { isInterrupted } from "../state/interruption";
import { lookForLab } from "../state/inventory";
import { repair } from "./repair";
import { readPulumi, runPulumi } from "./runPulumi";
import { checkout, launcher } from "./setup/places";
import { runCommand } from "./stack";

async function clean(stack: string): Promise<void> {
  const stacks = readPulumi("stack", "ls") as { name: string }[];
  if (!stacks.some(({ name }) => name === stack)) {
    console.log(`There is no stack ${stack}.`);
    return;
  }
  if (isInterrupted(stack)) await repair(stack);
  await announceHandMade(stack);
  await runPulumi("destroy", "--stack", stack, "--yes", "--skip-preview");
  await removeImages(stack);
}

/** Nodes added by hand go with the lab's network; one that never started is not on it yet. */
async function announceHandMade(stack: string): Promise<void> {
  const containers = (await lookForLab(stack))?.containers ?? [];
  const byHand = containers.filter(({ origin }) => origin === "hand");
  if (byHand.length === 0) return;
  console.log(`Nodes added by hand go too: ${byHand.map(({ name }) => name).join(", ")}.`);
  for (const { id } of byHand.filter(({ state }) => state === "created")) {
    await removeContainer(connectEngine().getContainer(id));
  }
}

/** Tags first: what had one of them before is then without any, and goes with the label. */
async function removeImages(stack: string): Promise<void> {
  const engine = connectEngine();
  const filters = { label: [`${STACK_LABEL}=${stack}`] };
  const own = Object.values(imageNames({ namePrefix: readNamePrefix(stack), stack }));
  const tagged = (await engine.listImages({ filters })).flatMap(({ RepoTags }) => RepoTags ?? []);
  for (const tag of own.filter((name) => tagged.includes(name))) await remove(tag);
  const untagged = await engine.listImages({ filters: { ...filters, dangling: ["true"] } });
  for (const { Id } of untagged) await remove(Id);

  async function remove(image: string): Promise<void> {
    try {
      await engine.getImage(image).remove();
      console.log(`Removed image ${image}.`);
    } catch (error) {
      // Another checkout's lab has the very same image: it is that lab's to remove.
      if ((error as { statusCode?: number }).statusCode !== 409) throw error;
      console.log(`Kept image ${image}: ${(error as Error).message}`);
    }
  }
}

function readNamePrefix(stack: string): string {
  const args = ["config", "get", "namePrefix", "--stack", stack];
  return execFileSync(launcher, args, { cwd: checkout, encoding: "utf8" }).trim();
}

const options = { stack: { type: "string", default: "dev" } } as const;
runCommand(() => clean(parseArgs({ options }).values.stack));
