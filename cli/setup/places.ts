/** The folders that the set-up uses. */
import { homedir } from "node:os";
import { join } from "node:path";

/** The checkout's root. */
export const checkout = join(__dirname, "..", "..");

/** The launcher behind `npx pulumi`. */
export const launcher = join(checkout, "cli", "pulumi", "pulumi");

/** Links to what this checkout uses; the launcher puts the folder on its PATH. */
export const toolchain = join(checkout, "cli", "pulumi", "toolchain");

/** What is costly to make again and the same for every checkout. */
export const cache = join(
  process.env.XDG_CACHE_HOME || join(homedir(), ".cache"),
  "dynamic-scaling-lab",
);

/** Where Pulumi keeps the plugins that it downloads. */
export const pluginsFolder = join(process.env.PULUMI_HOME || join(homedir(), ".pulumi"), "plugins");
