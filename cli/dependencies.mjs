// Runs before the set-up and the tests, when node_modules may not be there: Node's own modules only.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const checkout = join(dirname(fileURLToPath(import.meta.url)), "..");

/** The packages of a lock file by folder, or none if it cannot be read. */
function readPackages(file) {
  try {
    return JSON.parse(readFileSync(join(checkout, file), "utf8")).packages ?? {};
  } catch {
    return {};
  }
}

/**
 * Whether npm's record of what it installed agrees with the lock file. Packages for other systems
 * are optional and may be absent; a workspace's own folder is not something to install.
 */
function isInstalled(locked, installed) {
  return Object.entries(locked)
    .filter(([folder]) => folder.startsWith("node_modules/"))
    .every(([folder, { optional, version, integrity, resolved }]) => {
      const found = installed[folder];
      if (found === undefined) return optional === true;
      return integrity === undefined
        ? found.version === version && found.resolved === resolved
        : found.integrity === integrity;
    });
}

function stop(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  stop(`Node.js 20.19 or newer is needed; this is ${process.version}. See https://nodejs.org/`);
}
if (
  !isInstalled(readPackages("package-lock.json"), readPackages("node_modules/.package-lock.json"))
) {
  process.stdout.write("→ npm packages: npm ci, because node_modules is missing or out of date\n");
  // No install scripts: all that is used here works without, and some would look for a compiler.
  const { status } = spawnSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
    cwd: checkout,
    stdio: "inherit",
  });
  if (status !== 0) stop("npm ci failed: see its message above, then run the same command again.");
}
