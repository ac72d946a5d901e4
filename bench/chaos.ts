/**
 * `npm run chaos`: every fault of test/support/faults.ts under load, with answers of 1 ms and of 100 ms,
 * one after the other on one lab. Prints a table of what was sent, lost and slowest, and writes
 * bench/results/chaos.md and chaos.html, the latter with plots over time. Fails when a GET was lost
 * or a POST sent twice; times are shown beside their aims. `npm run chaos -- <words>` tries the
 * faults whose names have one of the words; SHORT=1 sends a quarter. `npm run chaos -- swarm` tries
 * those of test/support/swarmLab.ts.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { parseCommand, runCommand, UsageError } from "../cli/command";
import { LabCheckout } from "../test/support/checkout";
import { FAULTS, settle, type Fault } from "../test/support/faults";
import { names } from "../test/support/observe";
import { judge, tryFault, type Trial } from "../test/support/trial";
import { renderPage, tabulate, toMarkdown } from "./chaosReport";
import { swarmChaos } from "./swarmChaos";

const DELAYS_MS = [1, 100];
const AT_LEAST = process.env.SHORT ? 500 : 2000;

/** What people have to know beside the figures. */
function explain(trial: Trial): string[] {
  const { broken, late } = judge(trial);
  const title = `${trial.fault.name}, ${trial.delayMs} ms`;
  const states = Object.entries(trial.terminations).map(([state, count]) => `${count} × ${state}`);
  return [
    ...broken.slice(0, 10).map((line) => `${title}: ${line}`),
    ...late.map((line) => `${title}: ${line}`),
    ...(states.length > 0 ? [`${title}: HAProxy's log: ${states.join(", ")}`] : []),
  ];
}

/** Brings the lab to what a fault starts from, also after one that went wrong. */
async function prepare(lab: LabCheckout, { nodes, balancers = 1 }: Fault): Promise<void> {
  for (const name of [...names(10), "ha1", "ha2"]) {
    const container = lab.container(name);
    const state = await container.inspect().then(
      ({ State }) => State.Status,
      () => "none",
    );
    if (state === "paused") await container.unpause();
  }
  await lab.setBalancers(balancers);
  await lab.configure("nodeCount", nodes);
  const args = ["--refresh", "--yes", "--skip-preview", "--stack", lab.stack];
  await lab.succeed("up", ...args);
  await settle(lab);
}

const USAGE = `usage: npm run chaos [-- WORD…]

Tries every fault under load, or those with one of the words in their names, and writes a table and a page with
plots. The word swarm alone: those of several machines, on a Swarm of its own. The faults:

${FAULTS.map(({ name }) => `  ${name}`).join("\n")}`;

function choose(words: string[]): Fault[] {
  const unknown = words.find((word) => !FAULTS.some(({ name }) => name.includes(word)));
  if (unknown !== undefined)
    throw new UsageError(`no fault has ${unknown} in its name\n\n${USAGE}`);
  return FAULTS.filter(
    ({ name }) => words.length === 0 || words.some((word) => name.includes(word)),
  );
}

async function chaos(words: string[]): Promise<boolean> {
  const chosen = choose(words);
  const results = resolve(__dirname, "results");
  mkdirSync(results, { recursive: true });
  const trials: Trial[] = [];
  const failures: string[] = [];
  const lab = await LabCheckout.create("e2e-chaosbench");
  try {
    for (const [i, fault] of chosen.entries()) {
      for (const delayMs of DELAYS_MS) {
        console.error(`${i + 1} of ${chosen.length}, answers of ${delayMs} ms: ${fault.name}`);
        try {
          await prepare(lab, fault);
          const trial = await tryFault(lab, fault, { delayMs, atLeast: AT_LEAST });
          trials.push(trial);
          const rows = tabulate(trial).map((row) => row.join(" | "));
          console.error([...rows, ...explain(trial)].join("\n"));
        } catch (error) {
          failures.push(`${fault.name}, ${delayMs} ms: ${(error as Error).message}`);
          console.error(failures.at(-1));
        }
        writeFileSync(join(results, "chaos.html"), renderPage(trials));
      }
    }
  } finally {
    await lab.remove();
  }
  const report = `${toMarkdown(trials)}\n\n${[...failures, ...trials.flatMap(explain)].join("\n")}\n`;
  writeFileSync(join(results, "chaos.md"), report);
  console.log(`${report}\nbench/results/chaos.md, and with plots bench/results/chaos.html`);
  return failures.length === 0 && trials.every((trial) => judge(trial).broken.length === 0);
}

runCommand(async () => {
  const { positionals } = parseCommand(USAGE, { allowPositionals: true });
  const isGood = await (isDeepStrictEqual(positionals, ["swarm"])
    ? swarmChaos()
    : chaos(positionals));
  return isGood ? 0 : 1;
});
