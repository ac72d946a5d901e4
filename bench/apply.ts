/**
 * `npm run bench:apply`: what one change costs, by the Runtime API and by a reload, with few and many
 * servers, and what requests feel of it. Prints a table; no assertion: these are figures to compare.
 *
 * The servers are not so many containers: beside s1 and s2 they are declared as more names for the
 * addresses of those two, in turn. HAProxy checks and uses each as a server of its own. Without
 * sticky sessions: a cookie is made of the server's address.
 */
import { setTimeout as delay } from "node:timers/promises";
import { configuratorLog, push, type Pushed, readPushed } from "../test/e2e/balancer";
import { LabCheckout } from "../test/e2e/checkout";
import { type LoadResult, underLoad } from "../test/e2e/load";

const SERVER_COUNTS = [2, 50, 200];
const RUNS = 20;
const QUIET_MS = 15_000;
const RATE = 100;
const PUSH_WITHIN_MS = 30_000;

type Phase = "quiet" | "Runtime API" | "reload";

function quantile(values: number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? NaN;
}

function declare({ nodes, ...rest }: Pushed, count: number, algorithm = "roundrobin"): Pushed {
  const template = rest.template.replace("balance roundrobin", `balance ${algorithm}`);
  const more = Array.from({ length: count - nodes.length }, (_, i) => ({
    ...nodes[i % nodes.length],
    name: `c${i + 1}`,
  }));
  const settings = { ...rest.settings, stickySessions: false };
  return { ...rest, settings, template, nodes: [...nodes, ...more] };
}

async function apply(lab: LabCheckout, pushed: Pushed): Promise<void> {
  const outcome = await push(lab, pushed, PUSH_WITHIN_MS);
  if (!("done" in outcome)) throw new Error(JSON.stringify(outcome));
}

/** The times in the configurator's log, ms. */
async function applyTimes(lab: LabCheckout, since: number): Promise<Record<string, number[]>> {
  const times: Record<string, number[]> = {};
  for (const line of (await configuratorLog(lab)).slice(since)) {
    const applied = /^applied by (.+) in (\d+) ms/.exec(line);
    if (applied) (times[applied[1]] ??= []).push(Number(applied[2]));
  }
  return times;
}

function latencies({ exchanges, began }: LoadResult, [from, to]: [number, number]): number[] {
  return exchanges
    .filter(({ at, took }) => began + at + took >= from && began + at <= to)
    .map(({ took }) => took);
}

async function measure(lab: LabCheckout, base: Pushed, count: number): Promise<string[]> {
  await apply(lab, declare(base, count));
  const since = (await configuratorLog(lab)).length;
  const phases = {} as Record<Phase, [number, number]>;
  const phase = async (name: Phase, work: () => Promise<void>) => {
    const from = Date.now();
    await work();
    phases[name] = [from, Date.now()];
  };
  const load = await underLoad(
    lab,
    async () => {
      await phase("quiet", () => delay(QUIET_MS));
      await phase("Runtime API", async () => {
        for (let i = 1; i <= RUNS; i++) await apply(lab, declare(base, count + (i % 2)));
      });
      await phase("reload", async () => {
        const ways = ["leastconn", "roundrobin"];
        for (let i = 0; i < RUNS; i++) await apply(lab, declare(base, count, ways[i % 2]));
      });
    },
    { rate: RATE },
  );
  const times = await applyTimes(lab, since);
  return (Object.keys(phases) as Phase[]).map((name) => {
    const taken = times[name] ?? [];
    const felt = latencies(load, phases[name]);
    const ms = (values: number[], q: number) =>
      values.length ? `${quantile(values, q).toFixed(0)} ms` : "–";
    const cells = [count, name, taken.length, ms(taken, 0.5), ms(taken, 1)];
    return `| ${[...cells, ms(felt, 0.5), ms(felt, 0.99), felt.length].join(" | ")} |`;
  });
}

async function bench(): Promise<void> {
  const lab = await LabCheckout.create("bench-apply");
  try {
    await lab.up();
    const base = await readPushed(lab);
    const rows: string[] = [];
    for (const count of SERVER_COUNTS) {
      console.error(`${count} servers …`);
      rows.push(...(await measure(lab, base, count)));
    }
    console.log("Servers beyond two are more names for the addresses of the two real nodes.\n");
    console.log(
      "| servers | phase | applies | apply p50 | slowest | request p50 | p99 | requests |",
    );
    console.log("| --- | --- | --- | --- | --- | --- | --- | --- |");
    console.log(rows.join("\n"));
  } finally {
    await lab.remove();
  }
}

bench().catch((error: Error) => {
  console.error(error.message);
  process.exit(1);
});
