/** The two versions that a review compares, each in a folder that is gone afterwards. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { parse } from "yaml";
import { checkout, toolchain } from "../setup/places";
import type { Values } from "./config";

export interface Source {
  /** As it was named: a reference, or `this checkout`. */
  name: string;
  commit?: string;
  folder: string;
  /** What Pulumi.yaml gives as defaults and Pulumi.dev.yaml sets. */
  values: Values;
}

export interface Sources {
  base: Source;
  head: Source;
  /** For whatever else has to be gone afterwards. */
  folder: string;
}

/**
 * Lays both versions out, works on them and removes them.
 *
 * @param head a reference; the files of this checkout as they are without one
 * @throws if there is no such commit, before anything is made
 */
export async function withSources<T>(
  base: string,
  head: string | undefined,
  work: (sources: Sources) => Promise<T>,
): Promise<T> {
  const commits = [base, head].map((name) => name && resolveCommit(name));
  const folder = mkdtempSync(join(tmpdir(), "lab-review-"));
  try {
    return await work({
      folder,
      base: layOut(join(folder, "base"), base, commits[0]),
      head: layOut(join(folder, "head"), head ?? "this checkout", commits[1]),
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function resolveCommit(name: string): string {
  try {
    return git("rev-parse", "--verify", "--quiet", "--end-of-options", `${name}^{commit}`).trim();
  } catch (cause) {
    const message = `BASE, --head: got ${JSON.stringify(name)}, expected a commit, branch or tag of this repository`;
    throw new Error(message, { cause });
  }
}

function git(...args: string[]): string {
  return execFileSync("git", args, {
    cwd: checkout,
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    stdio: ["ignore", "pipe", "pipe"],
  });
}

function layOut(folder: string, name: string, commit: string | undefined): Source {
  mkdirSync(folder);
  if (commit === undefined) copyCheckout(folder);
  else {
    // The modes that a checkout has: they are part of what an image is made of.
    const archive = execFileSync("git", ["-c", "tar.umask=0022", "archive", commit], {
      cwd: checkout,
      maxBuffer: 2 ** 28,
    });
    execFileSync("tar", ["-x", "-C", folder], { input: archive });
  }
  installPackages(folder);
  linkToolchain(folder);
  return { name, commit, folder, values: readValues(folder) };
}

/** Tracked files and new ones as they are now; not what git ignores, the state among it. */
function copyCheckout(folder: string): void {
  const files = git("ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0");
  for (const file of new Set(files.filter((file) => file && existsSync(join(checkout, file))))) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    cpSync(join(checkout, file), join(folder, file));
    const { mode } = statSync(join(checkout, file));
    chmodSync(join(folder, file), mode & 0o100 ? 0o755 : 0o644);
  }
}

/** This checkout's packages where the version locks the same ones. */
function installPackages(folder: string): void {
  const [ours, theirs] = [checkout, folder].map((place) =>
    readFileSync(join(place, "package-lock.json"), "utf8"),
  );
  if (ours === theirs)
    return symlinkSync(join(checkout, "node_modules"), join(folder, "node_modules"));
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
  execFileSync("npm", args, { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
}

/** This checkout's programs: Pulumi.yaml names a plugin among them. */
function linkToolchain(folder: string): void {
  const link = join(folder, relative(checkout, toolchain));
  mkdirSync(dirname(link), { recursive: true });
  symlinkSync(toolchain, link);
}

function readValues(folder: string): Values {
  const read = (file: string) =>
    existsSync(join(folder, file))
      ? ((parse(readFileSync(join(folder, file), "utf8")) as { config?: Values } | null) ?? {})
      : {};
  const defaults = Object.entries(read("Pulumi.yaml").config ?? {}).map(([key, property]) => [
    key,
    (property as { default?: unknown } | null)?.default,
  ]);
  const set = Object.entries(read("Pulumi.dev.yaml").config ?? {}).map(([key, value]) => [
    key.slice(key.indexOf(":") + 1),
    value,
  ]);
  return Object.fromEntries([...defaults, ...set]) as Values;
}
