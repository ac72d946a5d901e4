/** `npm run clean [-- --stack NAME]`: takes a lab down, `dev` unless named, and removes its images. */
import { parseArgs } from "node:util";
import { connectEngine, isNotFound } from "../docker/engine";
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
import { readPulumi, runPulumi } from "./runPulumi";
import { runCommand } from "./stack";

async function clean(stack: string): Promise<void> {
  const stacks = readPulumi("stack", "ls") as { name: string }[];
  if (!stacks.some(({ name }) => name === stack)) {
    console.log(`There is no stack ${stack}.`);
    return;
  }
  if (isInterrupted(stack)) await repair(stack);
  await announceHandMade(stack);
  // Before their record goes with the lab; past states have those of earlier updates and labs.
  const images = [readDeployment(stack), ...readPastDeployments(stack)].flatMap(listImages);
  await runPulumi("destroy", "--stack", stack, "--yes", "--skip-preview");
  await removeImages(images);
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

/** Removes what this stack's own states record, as far as nobody else uses it. */
async function removeImages(recorded: RecordedImage[]): Promise<void> {
  const engine = connectEngine();
  const [images, networks] = await Promise.all([engine.listImages(), engine.listNetworks()]);
  const names = networks.map(({ Name }) => Name);
  for (const image of chooseImages(recorded, images, names)) {
    try {
      await engine.getImage(image).remove();
      console.log(`Removed image ${image}.`);
    } catch (error) {
      if (isNotFound(error)) continue;
      if ((error as { statusCode?: number }).statusCode !== 409) throw error;
      console.log(`Kept image ${image}: a container or another image uses it.`);
    }
  }
}

const options = { stack: { type: "string", default: "dev" } } as const;
runCommand(() => clean(parseArgs({ options }).values.stack));
