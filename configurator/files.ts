import { readFileSync, statSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";

/**
 * The file's text, or undefined when there is no such file. Read at once, and by no other thread: the
 * files are small, there are as many as nodes, and each look reads all of them.
 *
 * @throws Error when something else is there: to read a FIFO could take for ever
 */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    if (!statSync(path).isFile()) throw new Error(`${path}: got no regular file, expected one`);
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/**
 * Puts the text on disk beside its target, for {@link replaceFile} or a check.
 *
 * @param mode who may read it; only a file that holds no secret is for all
 */
export async function writeCandidate(path: string, text: string, mode = 0o644): Promise<string> {
  const candidate = `${path}.candidate`;
  try {
    // Whatever is in the way: a folder could not be opened, and a FIFO would wait for a reader.
    await rm(candidate, { recursive: true, force: true });
    const file = await open(candidate, "wx", mode);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    // On a full disk the part that was written is in the way of everything else.
    await rm(candidate, { force: true });
    throw new Error(`${path} can't be written: ${(error as Error).message}`, { cause: error });
  }
  return candidate;
}

/** Replaces a file in one step: a reader, or a crash, meets the old text or the new, never a part. */
export async function replaceFile(path: string, text: string, mode?: number): Promise<void> {
  await rename(await writeCandidate(path, text, mode), path);
}
