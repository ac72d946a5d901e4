/** What a killed CLI left half written of its records; Pulumi has no command that mends it. */
import { existsSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { readJson } from "./backend";

/** A record that is not whole after this is not being written any more. */
const WRITING_MS = 200;

/**
 * Removes files that were not yet given their name, which Pulumi takes for locks, and notes on a
 * file's type and digest, without which it reads the file but which it refuses to read cut off.
 *
 * @param folder where a file backend has its records
 * @returns whether there was anything
 */
export function mendRecords(folder: string): boolean {
  const all = existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: "utf8" }) : [];
  const broken = all.filter((name) => isHalfWritten(join(folder, name)));
  for (const name of broken) {
    rmSync(join(folder, name), { force: true });
    console.log(`Removed ${name}, which was half written.`);
  }
  return broken.length > 0;
}

function isHalfWritten(file: string): boolean {
  const stats = statSync(file, { throwIfNoEntry: false });
  // A process that lives is through with either in far less time.
  if (stats === undefined || Date.now() - stats.mtimeMs < WRITING_MS) return false;
  return file.endsWith(".tmp") || (file.endsWith(".attrs") && isBroken(file));
}

function isBroken(file: string): boolean {
  try {
    readJson(file);
    return false;
  } catch {
    return true;
  }
}
