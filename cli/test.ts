/** `npm test`: set-up, then every check there is; the last line counts what passed and failed. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setUp } from "./setup";
import { findOnPath, installPackages } from "./setup/commands";
import { checkout } from "./setup/places";
import { complete, type Step } from "./setup/step";

/** What one stage counted. */
export interface Count {
  passed: number;
  failed: number;
  skipped: number;
}

/** The part of jest's JSON report that is read here. */
export interface JestReport {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  /** Files that broke before their tests could run. */
  numRuntimeErrorTestSuites: number;
}

/** A run of jest in numbers; one that left no report, or failed without a failed test, is a failure. */
export function countTests(report: JestReport | undefined, succeeded: boolean): Count {
  if (!report) return { passed: 0, failed: 1, skipped: 0 };
  const failed = report.numFailedTests + report.numRuntimeErrorTestSuites;
  return {
    passed: report.numPassedTests,
    failed: failed === 0 && !succeeded ? 1 : failed,
    skipped: report.numPendingTests,
  };
}

/** A line for each stage, then the total alone on the last. */
export function summarize(stages: [name: string, count: Count][]): string[] {
  const total = (key: keyof Count) => stages.reduce((sum, [, count]) => sum + count[key], 0);
  const lines = stages.map(([name, { passed, failed, skipped }]) => {
    const mark = failed > 0 ? "✗" : passed > 0 ? "✓" : "-";
    return `${mark} ${name}: ${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ""}`;
  });
  return [...lines, `${total("passed")} passed, ${total("failed")} failed`];
}

const passed: Count = { passed: 1, failed: 0, skipped: 0 };
const failed: Count = { passed: 0, failed: 1, skipped: 0 };
const skipped: Count = { passed: 0, failed: 0, skipped: 1 };

function runTool(name: string, ...args: string[]): boolean {
  const tool = join(checkout, "node_modules", ".bin", name);
  return spawnSync(tool, args, { cwd: checkout, stdio: "inherit" }).status === 0;
}

function check(name: string, ...args: string[]): Count {
  return runTool(name, ...args) ? passed : failed;
}

function runJest(project: string, ...args: string[]): Count {
  const folder = mkdtempSync(join(tmpdir(), "dynamic-scaling-lab-test-"));
  const file = join(folder, "report.json");
  try {
    const report = ["--json", `--outputFile=${file}`];
    const succeeded = runTool("jest", "--selectProjects", project, ...report, ...args);
    return countTests(readReport(file), succeeded);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function readReport(file: string): JestReport | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as JestReport;
  } catch {
    return undefined;
  }
}

const shellcheck: Step = {
  name: "shellcheck",
  check: () => Promise.resolve(findOnPath("shellcheck")),
  ways() {
    if (process.getuid?.() !== 0 || !findOnPath("apt-get")) return Promise.resolve([]);
    const does = "install Debian's package, to check the shell scripts";
    return Promise.resolve([{ does, run: () => installPackages("shellcheck") }]);
  },
  help: "not here, so the shell scripts are not checked",
};

async function checkShellScripts(): Promise<Count> {
  try {
    await complete(shellcheck, console.log);
  } catch (error) {
    console.log((error as Error).message);
    return skipped;
  }
  const { status } = spawnSync("shellcheck", listShellScripts(), {
    cwd: checkout,
    stdio: "inherit",
  });
  return status === 0 ? passed : failed;
}

/** By their first line: most have no extension. */
function listShellScripts(): string[] {
  const list = ["ls-files", "--cached", "--others", "--exclude-standard"];
  const { stdout } = spawnSync("git", list, { cwd: checkout, encoding: "utf8" });
  return stdout
    .split("\n")
    .filter((file) => file !== "" && !/\.\w+$/.test(file.replace(/\.sh$/, "")))
    .filter((file) => /^#!.*\b(ba|da)?sh\b/.test(readFileSync(join(checkout, file), "utf8")));
}

async function setUpCounted(): Promise<Count> {
  try {
    await setUp();
    return passed;
  } catch (error) {
    console.error((error as Error).message);
    return failed;
  }
}

/** All stages run, whatever an earlier one said; only the end-to-end tests need the set-up. */
async function test(): Promise<boolean> {
  const stages: [string, Count][] = [];
  const stage = async (name: string, work: () => Count | Promise<Count>) => {
    console.log(`\n== ${name}`);
    stages.push([name, await work()]);
    return stages[stages.length - 1][1].failed === 0;
  };
  const ready = await stage("set-up", setUpCounted);
  await stage("eslint", () => check("eslint", "."));
  await stage("prettier", () => check("prettier", "--check", "."));
  await stage("shellcheck", checkShellScripts);
  await stage("types", () => check("tsc", "--noCheck", "false"));
  await stage("unit tests", () => runJest("unit"));
  await stage("end-to-end tests", () => (ready ? runJest("e2e", "--runInBand") : failed));
  console.log(`\n${summarize(stages).join("\n")}`);
  return stages.every(([, count]) => count.failed === 0);
}

if (require.main === module) {
  test().then(
    (succeeded) => process.exit(succeeded ? 0 : 1),
    (error: Error) => {
      console.error(error.message);
      process.exit(1);
    },
  );
}
