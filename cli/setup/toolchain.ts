/** Links to what this checkout uses: programs, which the launcher has on its PATH, and the Docker plugin. */
import { mkdirSync, readlinkSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { toolchain } from "./places";

/** What a link points to, or undefined. */
export function readLink(name: string): string | undefined {
  try {
    return readlinkSync(join(toolchain, name));
  } catch {
    return undefined;
  }
}

/** Makes a link, or removes it where the target is undefined. */
export function setLink(name: string, target: string | undefined): void {
  if (readLink(name) === target) return;
  const link = join(toolchain, name);
  if (target === undefined) return rmSync(link);
  mkdirSync(dirname(link), { recursive: true });
  // Replaced in one go: a `pulumi` started at this moment finds the old target or the new one.
  const fresh = `${link}.${process.pid}`;
  symlinkSync(target, fresh);
  renameSync(fresh, link);
}
