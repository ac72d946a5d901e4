/**
 * `npm run bench:preview`: what the program itself costs. Times a preview without a change at
 * several numbers of nodes against an empty program's, in turn within one run, and the `up` that led
 * to each; prints a table with medians and ratios. No assertion: these are figures to compare.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { LabCheckout } from "../test/e2e/checkout";

const NODE_COUNTS = [2, 10, 50];
const RUNS = 5;

const checkout = resolve(__dirname, "..");
const launcher = join(checkout, "tools/pulumi/pulumi");

function createEmptyProgram(): string {
  const folder = mkdtempSync(join(tmpdir(), "bench-empty-"));
  mkdirSync(join(folder, "state"));
  symlinkSync(join(checkout, "node_modules"), join(folder, "node_modules"));
  const backend = `backend: {url: "file://${join(folder, "state")}"}`;
  writeFileSync(join(folder, "Pulumi.yaml"), `name: empty\nruntime: nodejs\n${backend}\n`);
  writeFileSync(join(folder, "package.json"), '{"main": "index.ts"}\n');
  writeFileSync(join(folder, "tsconfig.json"), '{"compilerOptions": {"strict": true}}\n');
  writeFileSync(join(folder, "index.ts"), "");
  const run = (...args: string[]) => execFileSync(launcher, args, { cwd: folder, stdio: "ignore" });
  run("stack", "init", "bench");
  run("up", "--yes", "--skip-preview", "--stack", "bench");
  return folder;
}

function timePreview(folder: string, stack: string): number {
  const started = performance.now();
  const args = ["preview", "--expect-no-changes", "--stack", stack, "--non-interactive"];
  execFileSync(launcher, args, { cwd: folder, stdio: "ignore" });
  return (performance.now() - started) / 1000;
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

async function bench(): Promise<void> {
  const empty = createEmptyProgram();
  const lab = await LabCheckout.create("bench-preview");
  try {
    await lab.configure("nodePorts", 0);
    const rows: string[] = [];
    for (const nodeCount of NODE_COUNTS) {
      console.error(`${nodeCount} nodes …`);
      const started = performance.now();
      await lab.scale(nodeCount);
      const up = (performance.now() - started) / 1000;
      const times: { lab: number; empty: number }[] = [];
      for (let run = 0; run < RUNS; run++) {
        times.push({
          empty: timePreview(empty, "bench"),
          lab: timePreview(lab.folder, lab.stack),
        });
      }
      const own = median(times.map((time) => time.lab));
      const base = median(times.map((time) => time.empty));
      const ratio = median(times.map((time) => time.lab / time.empty));
      rows.push(
        `| ${nodeCount} | ${up.toFixed(1)} s | ${own.toFixed(2)} s | ${base.toFixed(2)} s | ${ratio.toFixed(2)} |`,
      );
    }
    console.log("| nodes | up to it | preview, no change | empty program | ratio |");
    console.log("| --- | --- | --- | --- | --- |");
    console.log(rows.join("\n"));
  } finally {
    await lab.remove();
    rmSync(empty, { recursive: true });
  }
}

bench().catch((error: Error) => {
  console.error(error.message);
  process.exit(1);
});
