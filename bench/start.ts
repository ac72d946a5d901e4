/**
 * `npm start` of a fresh clone by its steps: with every cache empty, then again with them warm. Both
 * on an engine of their own (test/support/nestedEngine.ts), so that a lab that runs here is not touched;
 * its installation is the one step that is left out.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NestedEngine } from "../test/support/nestedEngine";
import { checkout } from "../cli/setup/places";
import { run } from "./measure";
import { seconds, type Report } from "./report";

/** The steps by the line that ends each, in their order. */
const STEPS: [name: string, end: RegExp][] = [
  ["npm packages, and the engine found", /^✓ Docker engine/],
  ["Pulumi CLI and plugin, the base image beside them", /^✓ (Docker plugin|Base image)/],
  ["Pulumi up, its start", /docker:index:Image base creating/],
  ["images", /docker:index:Image (ha|webapp) created/],
  ["containers until all serve", /^The lab is up/],
];

/** A fresh clone's `npm start`; the duration of each step, s. */
async function timeStart(env: Record<string, string>): Promise<number[]> {
  const folder = mkdtempSync(join(tmpdir(), "bench-start-"));
  try {
    await run(["git", "clone", "--quiet", checkout, folder]);
    const started = performance.now();
    const ends = STEPS.map(() => NaN);
    const onLine = (line: string) => {
      // Of lines that match again the last one counts, as long as no later step has ended.
      const step = STEPS.findIndex(([, end]) => end.test(line));
      const isBefore = ends.slice(step + 1).every(Number.isNaN);
      if (step >= 0 && isBefore) ends[step] = (performance.now() - started) / 1000;
    };
    await run(["npm", "start"], { cwd: folder, env, onLine });
    return ends.map((end, i) => end - (ends[i - 1] ?? 0));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Every place where something is kept for a next time. */
function emptyCaches(): { folder: string; env: Record<string, string> } {
  const folder = mkdtempSync(join(tmpdir(), "bench-caches-"));
  const places = {
    XDG_CACHE_HOME: "xdg",
    npm_config_cache: "npm",
    GOMODCACHE: "go-modules",
    GOCACHE: "go-build",
    PULUMI_HOME: "pulumi",
  };
  // Go's modules are read-only unless asked for: nobody could remove them.
  const env: Record<string, string> = { GOFLAGS: "-modcacherw" };
  for (const [name, place] of Object.entries(places)) mkdirSync((env[name] = join(folder, place)));
  return { folder, env };
}

/** @param progress called with a line for a person who waits */
export async function benchStart(progress: (line: string) => void): Promise<Report> {
  const engine = await NestedEngine.start("bench-start", []);
  const caches = emptyCaches();
  try {
    const env = { ...caches.env, DOCKER_HOST: engine.dockerHost };
    progress("every cache empty; the CLI is compiled, which takes minutes");
    const cold = await timeStart(env);
    for (const { Id } of await engine.engine.listContainers({ all: true })) {
      await engine.engine.getContainer(Id).remove({ force: true });
    }
    await engine.engine.pruneNetworks();
    progress("caches warm");
    const warm = await timeStart(env);
    return toReport(cold, warm);
  } finally {
    await engine.remove();
    rmSync(caches.folder, { recursive: true });
  }
}

function toReport(cold: number[], warm: number[]): Report {
  const sum = (parts: number[]) => parts.reduce((all, part) => all + part, 0);
  return {
    comparisons: [
      {
        figure: "npm start of a fresh clone, caches cold",
        own: seconds(sum(cold)),
        against: `caches warm: ${seconds(sum(warm))}`,
        ratio: `${(sum(cold) / sum(warm)).toFixed(0)}×`,
        aim: "",
      },
    ],
    tables: [
      {
        title: "By step, s:",
        header: ["step", "cold", "warm"],
        rows: STEPS.map(([name], i) => [name, cold[i].toFixed(1), warm[i].toFixed(1)]),
      },
    ],
    plots: [
      {
        file: "start",
        title: "npm start of a fresh clone",
        unit: "s",
        kind: "stacked",
        categories: ["caches cold", "caches warm"],
        series: STEPS.map(([name], i) => ({
          name,
          values: [cold[i], warm[i]].map((value) => Number(value.toFixed(1))),
        })),
      },
    ],
    notes: ["The engine was there; its installation takes its time besides."],
  };
}
