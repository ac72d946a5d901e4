/** `npm run chaos -- swarm`: the faults of several machines, under load at the port of every one that lives. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { summarize, SHAPES } from "../test/support/load";
import { SWARM_FAULTS, SwarmLab, trySwarmFault } from "../test/support/swarmLab";

const HEADER = ["fault", "until all serve", "port of", "GETs sent", "lost", "slowest"];

/** Prints a table and writes it to bench/results/chaos-swarm.md. @returns whether nothing was lost */
export async function swarmChaos(): Promise<boolean> {
  const rows: string[][] = [];
  const failures: string[] = [];
  const swarm = await SwarmLab.create("e2e-swarmchaos");
  try {
    for (const [i, fault] of SWARM_FAULTS.entries()) {
      console.error(`${i + 1} of ${SWARM_FAULTS.length}: ${fault.name}`);
      try {
        const { results, tookMs } = await trySwarmFault(swarm, fault);
        for (const [machine, load] of results) {
          const shapes = SHAPES.map((shape) => summarize(load, shape));
          const slowest = Math.max(...shapes.map((shape) => shape.slowest));
          const took = `${(tookMs / 1000).toFixed(1)} s`;
          const counts = [`${load.sent}`, `${load.lost.length}`, `${slowest.toFixed(0)} ms`];
          rows.push([fault.name, took, machine, ...counts]);
          console.error(rows.at(-1)!.join(" | "));
        }
      } catch (error) {
        failures.push(`${fault.name}: ${(error as Error).message}`);
        console.error(failures.at(-1));
      }
    }
  } finally {
    await swarm.remove();
  }
  const table = [HEADER, HEADER.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`);
  const report = `${[...table, "", ...failures].join("\n")}\n`;
  const results = resolve(__dirname, "results");
  mkdirSync(results, { recursive: true });
  writeFileSync(join(results, "chaos-swarm.md"), report);
  console.log(`${report}\nbench/results/chaos-swarm.md`);
  return failures.length === 0 && rows.every((row) => row[4] === "0");
}
