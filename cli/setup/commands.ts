/** Other programs: where they are and how they are run. */
import { spawn, spawnSync, type SpawnOptions } from "node:child_process";
import { accessSync, appendFileSync, constants, mkdirSync, realpathSync } from "node:fs";
import { basename, delimiter, dirname, join, sep } from "node:path";
import { cache, checkout } from "./places";

const log = join(cache, "setup.log");

/** The path of a program on PATH, or undefined. The checkout's own launchers do not count. */
export function findOnPath(name: string, path = process.env.PATH ?? ""): string | undefined {
  return path
    .split(delimiter)
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, name))
    .find((file) => isExecutable(file) && !realpathSync(file).startsWith(checkout + sep));
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** What a program prints, or undefined if it fails or is not there. */
export function readOutput(command: string, args: string[]): string | undefined {
  const { status, stdout } = spawnSync(command, args, { encoding: "utf8" });
  return status === 0 ? stdout.trim() : undefined;
}

/**
 * Runs a program, its output in the set-up's log, a sign of life every half minute.
 *
 * @throws with the last lines of the output if it fails.
 */
export async function run(
  [command, ...args]: string[],
  options: Pick<SpawnOptions, "cwd" | "env" | "timeout"> = {},
): Promise<void> {
  mkdirSync(dirname(log), { recursive: true });
  appendFileSync(log, `$ ${command} ${args.join(" ")}\n`);
  const started = Date.now();
  const alive = setInterval(() => {
    console.log(`  … ${basename(command)}: ${Math.round((Date.now() - started) / 1000)} s`);
  }, 30_000);
  const child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  let last = "";
  const keep = (chunk: Buffer) => {
    appendFileSync(log, chunk);
    last = (last + chunk.toString()).slice(-2000);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  try {
    const ended = await new Promise<string | number | null>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code, signal) => resolve(code ?? signal));
    });
    if (ended !== 0) {
      const tail = last.trim().split("\n").slice(-8).join("\n    ");
      throw new Error(`${command} ended with ${ended}; all of it in ${log}:\n    ${tail}`);
    }
  } finally {
    clearInterval(alive);
  }
}

/** A command as root: as it is, behind sudo, or undefined where neither is possible. */
export function asRoot(command: string[]): string[] | undefined {
  if (process.getuid?.() === 0) return command;
  const sudo = findOnPath("sudo");
  return sudo === undefined ? undefined : [sudo, ...command];
}

let installing = Promise.resolve();

/** Installs Debian packages, also after an installation that was interrupted. One installation waits for another. */
export function installPackages(...packages: string[]): Promise<void> {
  const done = installing.then(() => install(packages));
  installing = done.catch(() => undefined);
  return done;
}

async function install(packages: string[]): Promise<void> {
  const apt = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120"];
  for (const command of [
    ["dpkg", "--configure", "-a"],
    [...apt, "update"],
    [...apt, "install", "--no-install-recommends", ...packages],
  ]) {
    const allowed = asRoot(["env", "DEBIAN_FRONTEND=noninteractive", ...command]);
    if (!allowed) throw new Error(`${packages.join(", ")}: only root can install packages`);
    await run(allowed);
  }
}
