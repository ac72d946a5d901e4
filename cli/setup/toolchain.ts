/** The links that the launcher puts on its PATH: one for each program that this checkout uses. */
import { mkdirSync, readlinkSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { toolchain } from "./places";

/** What a program's link points to, or undefined. */
export function readLink(program: string): string | undefined {
  try {
    return readlinkSync(join(toolchain, program));
  } catch {
    return undefined;
  }
}

/** Makes a program's link, or removes it where the target is undefined. */
export function setLink(program: string, target: string | undefined): void {
  if (readLink(program) === target) return;
  const link = join(toolchain, program);
  if (target === undefined) return rmSync(link);
  mkdirSync(toolchain, { recursive: true });
  // Replaced in one go: a `pulumi` started at this moment finds the old target or the new one.
  const fresh = `${link}.${process.pid}`;
  symlinkSync(target, fresh);
  renameSync(fresh, link);
}
