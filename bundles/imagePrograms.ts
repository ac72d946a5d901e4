import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

/** The programs that go into images: one file each, made from TypeScript and its dependencies. */
const PROGRAMS = {
  "ha/dist/configurator": "configurator/main.ts",
  "webapp/dist/server": "images/webapp/src/server.ts",
};

const OUTDIR = "images";

/** Outside every image's build context: it says of what the bundles were made, as a {@link Stamps}. */
const STAMPS = join(OUTDIR, "dist", "stamps.json");

/** By file that went in or came out: size and time of its last change. */
type Stamps = Record<string, string>;

/**
 * Bundles the images' programs from source where a source has changed since. The same source gives
 * the same bytes, and a file that would not change is not written, so an image is rebuilt only when
 * its program is another one.
 */
export function bundlePrograms(): void {
  const last = readStamps();
  if (
    last !== undefined &&
    Object.entries(last).every(([file, stamp]) => stampOf(file) === stamp)
  ) {
    return;
  }
  // Loaded when needed: most runs find the bundles as they should be.
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  const { buildSync } = require("esbuild") as typeof import("esbuild");
  const { outputFiles, metafile } = buildSync({
    entryPoints: PROGRAMS,
    outdir: OUTDIR,
    bundle: true,
    platform: "node",
    target: "node20",
    write: false,
    metafile: true,
    logLevel: "error",
  });
  const outputs = outputFiles.map(({ path, text }) => {
    if (!existsSync(path) || readFileSync(path, "utf8") !== text) writeNew(path, text);
    return relative(".", path);
  });
  const files = [...Object.keys(metafile.inputs), ...outputs, relative(".", __filename)];
  const stamps: Stamps = Object.fromEntries(files.map((file) => [file, stampOf(file) ?? ""]));
  writeNew(STAMPS, JSON.stringify(stamps));
}

function readStamps(): Stamps | undefined {
  return existsSync(STAMPS) ? (JSON.parse(readFileSync(STAMPS, "utf8")) as Stamps) : undefined;
}

function stampOf(file: string): string | undefined {
  const stat = statSync(file, { throwIfNoEntry: false });
  return stat && `${stat.size} ${stat.mtimeMs}`;
}

/** In one step: another run of the program may read at the same time. */
function writeNew(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.${process.pid}`, text);
  renameSync(`${path}.${process.pid}`, path);
}
