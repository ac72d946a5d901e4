import { execFileSync } from "node:child_process";
import {
  cpSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const original = resolve(__dirname, "../..");
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bundle-"));
  cpSync(join(original, "bundles"), join(folder, "bundles"), { recursive: true });
  symlinkSync(join(original, "node_modules"), join(folder, "node_modules"));
  write("main.ts", 'import { word } from "./word";\nconsole.log(word as string);\n');
  write("word.ts", 'export const word = "one";\n');
});
afterEach(() => rmSync(folder, { recursive: true }));

const write = (file: string, text: string) => writeFileSync(join(folder, file), text);

/** Bundles in a process of its own, from another working directory. @returns when the bundle was written */
function bundle(options = {}): number {
  const all = { programs: { "dist/main": "main.ts" }, stamps: "dist/stamps.json", ...options };
  const script = `require("${folder}/bundles/bundle.cjs").bundle(${JSON.stringify(all)})`;
  execFileSync(process.execPath, ["--eval", script], { cwd: tmpdir(), stdio: "pipe" });
  return statSync(join(folder, "dist/main.js")).mtimeMs;
}

const says = () => execFileSync(process.execPath, [join(folder, "dist/main.js")]).toString();

test("a bundle is made again when a source has another text", () => {
  bundle();
  expect(says()).toBe("one\n");
  write("word.ts", 'export const word = "another";\n');
  bundle();
  expect(says()).toBe("another\n");
});

test("a bundle that would be the same is not written", () => {
  const first = bundle();
  expect(bundle()).toBe(first);
  write("word.ts", '// Says nothing else.\nexport const word = "one";\n');
  expect(bundle()).toBe(first);
});

test("a source that can't be bundled is named with its line", () => {
  write("word.ts", "\nexport const = 1;\n");
  expect(() => bundle()).toThrow(/^word\.ts:2:13: ERROR: /m);
});

test("a bundle is made again when it is missing, or for another option", () => {
  bundle();
  rmSync(join(folder, "dist/main.js"));
  bundle();
  expect(says()).toBe("one\n");
  bundle({ external: ["./word"] });
  expect(readFileSync(join(folder, "dist/main.js"), "utf8")).toContain('require("./word")');
});
