/** The files of a Docker build: which they are, their digest and the archive to send. */
import { createHash } from "node:crypto";
import {
  Stats,
  existsSync,
  lstatSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  realpathSync,
} from "node:fs";
import { basename, join, relative, sep } from "node:path";
import { Readable } from "node:stream";
import ignore from "@balena/dockerignore";
import { pack } from "tar-stream";

export interface BuildContext {
  /** The folder, as the program writes it. */
  folder: string;
  /** The Dockerfile, relative to the working directory and not to the folder. */
  dockerfile: string;
}

/**
 * The digest that decides whether an image is built again: over the paths, modes and contents of
 * the files that are not ignored, and the Dockerfile. It is the official plugin's, so that a stack
 * may change between the two plugins without a build.
 */
export function digestContext(context: BuildContext): string {
  const digest = createHash("sha256");
  const add = (name: string, mode: string, content: Buffer | string) =>
    digest
      .update(name + mode)
      .update(createHash("sha256").update(content).digest())
      .update("\0");

  add("Dockerfile", "----------", readFileSync(context.dockerfile));
  for (const name of listFiles(context)) {
    const file = join(context.folder, name);
    const stats = lstatSync(file);
    if (stats.isDirectory()) continue;
    // What a link points to may change without a change of the link.
    const content = stats.isSymbolicLink()
      ? relative(process.cwd(), realpathSync(file))
      : readFileSync(file);
    add(toSlashes(name), formatMode(stats), content);
  }
  return digest.digest("hex");
}

/** The archive to send and the Dockerfile's name inside it. */
export function packContext(context: BuildContext): { archive: Readable; dockerfile: string } {
  const archive = pack();
  const inside = toSlashes(relative(context.folder, context.dockerfile));
  const names = listFiles(context);
  for (const name of names) {
    const file = join(context.folder, name);
    const stats = lstatSync(file);
    const header = { name: toSlashes(name), mode: stats.mode & 0o7777, mtime: stats.mtime };
    if (stats.isDirectory()) archive.entry({ ...header, type: "directory" });
    else if (stats.isSymbolicLink()) {
      archive.entry({ ...header, type: "symlink", linkname: readlinkSync(file) });
    } else archive.entry(header, readFileSync(file));
  }
  // The engine needs the Dockerfile also where it is ignored or outside of the folder.
  const found = names.some((name) => toSlashes(name) === inside);
  const dockerfile = found ? inside : ".dockerfile.offline-provider";
  if (!found) archive.entry({ name: dockerfile }, readFileSync(context.dockerfile));
  archive.finalize();
  return { archive, dockerfile };
}

/** Everything in the folder that is not ignored, relative to it, each folder before its content. */
function listFiles({ folder, dockerfile }: BuildContext): string[] {
  const own = join(folder, `${basename(dockerfile)}.dockerignore`);
  const ignoreFile = existsSync(own) ? own : join(folder, ".dockerignore");
  const rules = ignore({ ignorecase: false });
  if (existsSync(ignoreFile)) rules.add(readFileSync(ignoreFile, "utf8"));
  const isWanted = rules.createFilter();

  const list = (parent: string): string[] =>
    readdirSync(join(folder, parent), { withFileTypes: true })
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .flatMap((entry) => {
        const name = join(parent, entry.name);
        if (entry.isDirectory()) {
          // A rule such as `!docs/*.md` can want a file of an ignored folder back.
          const content = list(name);
          return isWanted(name) || content.length > 0 ? [name, ...content] : [];
        }
        return (entry.isFile() || entry.isSymbolicLink()) && isWanted(name) ? [name] : [];
      });
  return list("");
}

/** A mode as `ls` and Go write it, such as `-rwxr-xr-x`. */
function formatMode(stats: Stats): string {
  const special = [
    stats.isSymbolicLink() ? "L" : "",
    stats.mode & 0o4000 ? "u" : "",
    stats.mode & 0o2000 ? "g" : "",
    stats.mode & 0o1000 ? "t" : "",
  ].join("");
  const letters = [..."rwxrwxrwx"].map((letter, index) =>
    stats.mode & (1 << (8 - index)) ? letter : "-",
  );
  return (special || "-") + letters.join("");
}

function toSlashes(path: string): string {
  return path.split(sep).join("/");
}
