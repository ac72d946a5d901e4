import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";

const locked = {
  "": { name: "lab" },
  "cli/cli": { name: "cli" },
  "node_modules/cli": { resolved: "cli/cli", link: true },
  "node_modules/a": { version: "1.0.0", integrity: "sha512-a" },
  "node_modules/other-system": { version: "1.0.0", integrity: "sha512-o", optional: true },
};
const installed = {
  "node_modules/cli": locked["node_modules/cli"],
  "node_modules/a": locked["node_modules/a"],
};

let checkout: string;

beforeEach(() => {
  checkout = mkdtempSync(join(tmpdir(), "dependencies-test-"));
  for (const folder of ["cli", "bin", "node_modules"]) mkdirSync(join(checkout, folder));
  cpSync(join(__dirname, "../../cli/dependencies.mjs"), join(checkout, "cli/dependencies.mjs"));
  writeFileSync(join(checkout, "bin/npm"), '#!/bin/sh\necho "npm $*"\nexit "${NPM_EXIT-0}"\n');
  chmodSync(join(checkout, "bin/npm"), 0o755);
});

afterEach(() => rmSync(checkout, { recursive: true }));

/** What is printed and returned when the two lock files hold these packages. */
function run(lock: object, hidden: object | undefined, env: Record<string, string> = {}) {
  writeFileSync(join(checkout, "package-lock.json"), JSON.stringify({ packages: lock }));
  if (hidden) {
    const file = join(checkout, "node_modules/.package-lock.json");
    writeFileSync(file, JSON.stringify({ packages: hidden }));
  }
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(checkout, "cli/dependencies.mjs")],
    {
      env: {
        PATH: [join(checkout, "bin"), dirname(process.execPath), "/bin"].join(delimiter),
        ...env,
      },
      encoding: "utf8",
    },
  );
  return { status, installs: stdout.includes("npm ci"), stderr };
}

test.each([
  ["nothing installed", undefined, true],
  ["all there but another system's package", installed, false],
  ["a package missing", { ...installed, "node_modules/a": undefined }, true],
  ["a package of another content", { ...installed, "node_modules/a": { integrity: "x" } }, true],
  ["a workspace not linked", { ...installed, "node_modules/cli": undefined }, true],
  [
    "another system's package, out of date",
    { ...installed, "node_modules/other-system": { integrity: "x" } },
    true,
  ],
])("%s", (_, hidden, installs) => {
  expect(run(locked, hidden)).toEqual({ status: 0, installs, stderr: "" });
});

test("a failed npm ci ends the command and says what to do", () => {
  expect(run(locked, undefined, { NPM_EXIT: "3" })).toEqual({
    status: 1,
    installs: true,
    stderr: "npm ci failed: see its message above, then run the same command again.\n",
  });
});
