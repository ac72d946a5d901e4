import { open, readFile, rename, rm } from "node:fs/promises";

/** The file's text, or undefined when there is no such file. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Puts the text on disk beside its target, for {@link replaceFile} or a check. */
export async function writeCandidate(path: string, text: string): Promise<string> {
  const candidate = `${path}.candidate`;
  try {
    const file = await open(candidate, "w", 0o644);
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
export async function replaceFile(path: string, text: string): Promise<void> {
  await rename(await writeCandidate(path, text), path);
}
