/** `npm run setup`: everything the lab needs, step by step. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { parseCommand, runCommand } from "./command";
import { baseImage } from "./setup/baseImage";
import { asRoot, run } from "./setup/commands";
import { dockerEngine } from "./setup/dockerEngine";
import { dockerPlugin, forgetOfflinePlugin } from "./setup/dockerPlugin";
import { withLock } from "./setup/lock";
import { cache } from "./setup/places";
import { pulumiCli } from "./setup/pulumiCli";
import { complete } from "./setup/step";

const say = (line: string) => console.log(line);

/**
 * Goes through all steps; one that is done costs next to nothing. The base image is made beside the CLI: of the two,
 * one waits for the network while the other computes.
 *
 * @throws naming the steps that failed and what to do about it.
 */
export async function setUp({ retryDownloads = false } = {}): Promise<void> {
  await withLock(
    join(cache, "setup.lock"),
    async () => {
      await removeLeftovers();
      if (retryDownloads) forgetOfflinePlugin();
      await complete(dockerEngine, say);
      const cliAndPlugin = complete(pulumiCli, say).then(() => complete(dockerPlugin, say));
      const both = await Promise.allSettled([cliAndPlugin, complete(baseImage(), say)]);
      const failures = both.flatMap((it) =>
        it.status === "rejected" ? [(it.reason as Error).message] : [],
      );
      if (failures.length > 0) throw new Error(failures.join("\n"));
    },
    (owner) => say(`… another set-up is running (process ${owner}); waiting for it`),
  );
}

/** What an interrupted set-up left half done; some of it is root's, and may hold a mounted /proc. */
async function removeLeftovers(): Promise<void> {
  const left = readdirSync(cache).filter((name) => name.startsWith("partial-"));
  if (left.length === 0) return;
  const careful = process.platform === "linux" ? ["--one-file-system"] : [];
  const remove = ["rm", "-rf", ...careful, ...left.map((name) => join(cache, name))];
  await run(asRoot(remove) ?? remove);
}

const USAGE = `usage: npm run setup [-- --retry-downloads]

Sets up what is missing: a Docker engine, the Pulumi CLI, the Docker plugin, the base image.

  --retry-downloads  try again to download what could not be`;

if (require.main === module) {
  const options = { "retry-downloads": { type: "boolean", default: false } } as const;
  runCommand(() => {
    const { values } = parseCommand(USAGE, { options });
    return setUp({ retryDownloads: values["retry-downloads"] });
  });
}
