/** `npm run clean [-- --yes] [--stack NAME]`: takes a lab down and removes its images. */
import { createInterface } from "node:readline/promises";
import { connectDocker, isNotFound } from "../docker/connect";
import { removeContainer } from "../docker/remove";
import { isInterrupted } from "../state/interruption";
import { chooseImages, lookForLab } from "../state/inventory";
import {
  listImages,
  readDeployment,
  readPastDeployments,
  type RecordedImage,
} from "../state/records";
import { repair } from "./repair";
import { runPulumi } from "./runPulumi";
import { parseCommand, runCommand } from "./command";
import { chooseStack } from "./stack";

const USAGE = `usage: npm run clean [-- --yes] [--stack NAME]

Takes a lab down, with its nodes added by hand and its images. In a terminal it asks before.

  --yes         without asking
  --stack NAME  the lab's stack; the selected one without it`;

async function clean(stack: string): Promise<void> {
  if (isInterrupted(stack)) await repair(stack);
  await announceHandMade(stack);
  // Before their record goes with the lab; past states have those of earlier updates and labs.
  const images = [readDeployment(stack), ...readPastDeployments(stack)].flatMap(listImages);
  await runPulumi("destroy", "--stack", stack, "--yes", "--skip-preview");
  await removeImages(images);
}

/** Only a terminal has somebody who can answer. */
async function isWanted(stack: string): Promise<boolean> {
  if (!process.stdin.isTTY) return true;
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    const answer = await terminal.question(
      `Take the lab of stack ${stack} down, with its images? [y/N] `,
    );
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    terminal.close();
  }
}

/** Nodes added by hand go with the lab's network; one that never started is not on it yet. */
async function announceHandMade(stack: string): Promise<void> {
  const containers = (await lookForLab(stack))?.containers ?? [];
  const byHand = containers.filter(({ origin }) => origin === "hand");
  if (byHand.length === 0) return;
  console.log(`Nodes added by hand go too: ${byHand.map(({ name }) => name).join(", ")}.`);
  for (const { id } of byHand.filter(({ state }) => state === "created")) {
    await removeContainer(connectDocker().getContainer(id));
  }
}

/** Removes what this stack's own states record, as far as nobody else uses it. */
async function removeImages(recorded: RecordedImage[]): Promise<void> {
  const docker = connectDocker();
  const [images, networks] = await Promise.all([docker.listImages(), docker.listNetworks()]);
  const names = networks.map(({ Name }) => Name);
  for (const image of chooseImages(recorded, images, names)) {
    try {
      await docker.getImage(image).remove();
      console.log(`Removed image ${image}.`);
    } catch (error) {
      if (isNotFound(error)) continue;
      if ((error as { statusCode?: number }).statusCode !== 409) throw error;
      console.log(`Kept image ${image}: a container or another image uses it.`);
    }
  }
}

runCommand(async () => {
  const options = { stack: { type: "string" }, yes: { type: "boolean", default: false } } as const;
  const { values } = parseCommand(USAGE, { options });
  const stack = chooseStack(values.stack);
  if (values.yes || (await isWanted(stack))) await clean(stack);
});
