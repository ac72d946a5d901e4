import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { buildSync } from "esbuild";

/** The programs that go into images: one file each, made from TypeScript and its dependencies. */
const PROGRAMS = {
  "ha/dist/configurator": "images/ha/configurator/main.ts",
  "webapp/dist/server": "images/webapp/src/server.ts",
};

/**
 * Bundles the images' programs from source. The same source gives the same bytes, and a file that
 * would not change is not written, so an image is rebuilt only when its program is another one.
 */
export function bundlePrograms(): void {
  const { outputFiles } = buildSync({
    entryPoints: PROGRAMS,
    outdir: "images",
    bundle: true,
    platform: "node",
    target: "node20",
    write: false,
    logLevel: "error",
  });
  for (const { path, text } of outputFiles) {
    if (existsSync(path) && readFileSync(path, "utf8") === text) continue;
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
}
