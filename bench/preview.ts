/**
 * What the program itself costs: a preview without a change at several numbers of nodes, in turn
 * with an empty program's, and the `up` that led to each.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { LabCheckout } from "../test/support/checkout";
import { checkout, launcher } from "../cli/setup/places";
import { run, timed } from "./measure";
import { withNeighbours } from "./neighbours";
import { median, seconds, times, type Report } from "./report";

const RUNS = 5;
/** Times the empty program's. */
const AIMS: Record<number, number> = { 2: 1.5, 10: 1.5, 50: 2 };
const NODE_COUNTS = Object.keys(AIMS).map(Number);

/** A program as `pulumi new typescript` makes it, with nothing in it. */
function createEmptyProgram(): string {
  const folder = mkdtempSync(join(tmpdir(), "bench-empty-"));
  const sdk = "node_modules/@pulumi/pulumi";
  mkdirSync(join(folder, "state"));
  mkdirSync(join(folder, dirname(sdk)), { recursive: true });
  symlinkSync(join(checkout, sdk), join(folder, sdk));
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

function timePreview(folder: string, stack: string, cli = launcher): Promise<number> {
  const args = ["preview", "--expect-no-changes", "--stack", stack, "--non-interactive"];
  return timed(() => run([cli, ...args], { cwd: folder }));
}

interface Row {
  nodes: number;
  /** Medians, s. */
  up: number;
  own: number;
  empty: number;
  /** Median of the ratios of each pair. */
  ratio: number;
}

function toReport(rows: Row[]): Report {
  const first = rows[0];
  return {
    comparisons: rows.map(({ nodes, own, empty, ratio }) => ({
      figure: `preview without a change, ${nodes} nodes`,
      own: seconds(own),
      against: `an empty program: ${seconds(empty)}`,
      ratio: times(ratio),
      aim: `≤ ${AIMS[nodes]}×`,
      isMet: ratio <= AIMS[nodes],
    })),
    tables: [
      {
        title: `Medians of ${RUNS} pairs:`,
        header: ["nodes", "up to it", "preview", "empty program", "ratio", "a node more costs"],
        rows: rows.map((row) => [
          ...[row.nodes, seconds(row.up), seconds(row.own), seconds(row.empty), times(row.ratio)],
          row === first
            ? ""
            : `${((1000 * (row.own - first.own)) / (row.nodes - first.nodes)).toFixed(0)} ms`,
        ]),
      },
    ],
    plots: [
      {
        file: "preview",
        title: "A preview that finds no change",
        unit: "s",
        kind: "lines",
        xTitle: "nodes",
        x: rows.map(({ nodes }) => nodes),
        series: [
          { name: "this lab", values: rows.map(({ own }) => own) },
          { name: "empty program", values: rows.map(({ empty }) => empty) },
        ],
      },
    ],
    notes: [],
  };
}

/** @param progress called with a line for a person who waits */
export function benchPreview(progress: (line: string) => void): Promise<Report> {
  return withNeighbours(Math.max(...NODE_COUNTS), progress, () => preview(progress));
}

async function preview(progress: (line: string) => void): Promise<Report> {
  const empty = createEmptyProgram();
  const lab = await LabCheckout.create("bench-preview");
  try {
    await lab.configure("nodePorts", 0);
    const rows: Row[] = [];
    for (const nodes of NODE_COUNTS) {
      progress(`${nodes} nodes`);
      const up = await timed(() => lab.scale(nodes));
      const pairs: { own: number; empty: number }[] = [];
      for (let run = 0; run < RUNS; run++) {
        pairs.push({
          empty: await timePreview(empty, "bench"),
          own: await timePreview(lab.folder, lab.stack, join(lab.folder, "cli/pulumi/pulumi")),
        });
      }
      rows.push({
        nodes,
        up,
        own: median(pairs.map(({ own }) => own)),
        empty: median(pairs.map(({ empty }) => empty)),
        ratio: median(pairs.map(({ own, empty }) => own / empty)),
      });
    }
    return toReport(rows);
  } finally {
    await lab.remove();
    rmSync(empty, { recursive: true });
  }
}
