/** `npm run clean`: takes the lab of stack `dev` down and removes its images. */
import { connectEngine } from "../providers/engine";
import { readPulumi, runPulumi } from "./runPulumi";

const stack = "dev";

/** How the engine lists an image whose tag went to a newer build. */
const UNTAGGED = "<none>:<none>";

async function clean(): Promise<void> {
  const stacks = readPulumi("stack", "ls") as { name: string }[];
  if (stacks.some(({ name }) => name === stack)) {
    await runPulumi("destroy", "--stack", stack, "--yes");
  } else {
    console.log(`There is no stack ${stack}.`);
  }
  const removed = await removeImages();
  console.log(removed.length === 0 ? "No images to remove." : `Removed ${removed.join(", ")}.`);
}

/** Names, not ids: an image that bears another name too keeps it. */
async function removeImages(): Promise<string[]> {
  const engine = connectEngine();
  const images = await engine.listImages({
    filters: { label: [`dynamic-scaling-lab.stack=${stack}`] },
  });
  const names = images.flatMap(({ Id, RepoTags }) => {
    const tags = (RepoTags ?? []).filter((tag) => tag !== UNTAGGED);
    return tags.length > 0 ? tags : [Id];
  });
  for (const name of names) await engine.getImage(name).remove();
  return names;
}

clean().catch((error: Error) => {
  console.error(`\n${error.message}`);
  process.exit(1);
});
