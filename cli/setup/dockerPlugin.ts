/** The plugin behind the Docker resources: the official one, or the checkout's own offline provider. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { run } from "./commands";
import { checkout, launcher, pluginsFolder } from "./places";
import type { Step } from "./step";
import { readLink, setLink } from "./toolchain";

/** The SDK's version is the plugin's. */
const { version } = JSON.parse(
  readFileSync(require.resolve("@pulumi/docker/package.json"), "utf8"),
) as { version: string };

const plugin = "pulumi-resource-docker";
/** In the folder that `plugins` in Pulumi.yaml names. */
const link = join("docker", plugin);
const official = join(pluginsFolder, `resource-docker-v${version}`, plugin);
const offline = join(checkout, "providers", "docker", plugin);

export const dockerPlugin: Step = {
  name: "Docker plugin",
  check() {
    if (hasOfficial()) {
      setLink(link, official);
      return Promise.resolve(`official ${version}, ${pluginsFolder}`);
    }
    // The link is also the memory that the download failed: it is not tried at each start.
    return Promise.resolve(
      readLink(link) === offline
        ? "offline provider of this checkout (`npm run setup -- --retry-downloads` asks again)"
        : undefined,
    );
  },
  ways: () =>
    Promise.resolve([
      {
        does: `install the official ${version}, because ${pluginsFolder} has none`,
        async run() {
          // Not probed first: it asks two hosts, and by the user's proxy.
          await run([launcher, "plugin", "install", "resource", "docker", version], {
            timeout: 2 * 60_000,
          });
        },
      },
      {
        does: "use the offline provider of this checkout, because the official one is out of reach",
        run() {
          setLink(link, offline);
          return Promise.resolve();
        },
      },
    ]),
  help: `run \`npx pulumi plugin install resource docker ${version}\` and read its message`,
};

/** Makes the next check ask for the official plugin again. */
export function forgetOfflinePlugin(): void {
  setLink(link, undefined);
}

/** Pulumi marks a plugin that is not wholly there with a file of that name beside its folder. */
function hasOfficial(): boolean {
  return existsSync(official) && !existsSync(`${dirname(official)}.partial`);
}
