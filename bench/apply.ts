/**
 * What one change costs, by the Runtime API and by a reload, with few and many servers, and what
 * requests feel of it.
 *
 * The servers are not so many containers: beside s1 and s2 they are declared as more names for the
 * addresses of those two, in turn. HAProxy checks and uses each as a server of its own. Without
 * sticky sessions: a cookie is made of the server's address.
 */
import { setTimeout as delay } from "node:timers/promises";
import { configuratorLog, push, type Pushed, readPushed } from "../test/support/balancer";
import { LabCheckout } from "../test/support/checkout";
import { type LoadResult, underLoad } from "../test/support/load";
import { quantile, type Comparison, type Report } from "./report";

const SERVER_COUNTS = [2, 50, 200];
const RUNS = 20;
const QUIET_MS = 15_000;
const RATE = 100;
/** For one apply by the Runtime API. */
const AIM_MS = 20;
const PUSH_WITHIN_MS = 30_000;

type Phase = "quiet" | "Runtime API" | "reload";

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

interface Row {
  servers: number;
  phase: Phase;
  /** Times of the applies and of the requests meanwhile, ms. */
  applies: number[];
  requests: number[];
}

async function measure(lab: LabCheckout, base: Pushed, servers: number): Promise<Row[]> {
  await apply(lab, declare(base, servers));
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
        for (let i = 1; i <= RUNS; i++) await apply(lab, declare(base, servers + (i % 2)));
      });
      await phase("reload", async () => {
        const ways = ["leastconn", "roundrobin"];
        for (let i = 0; i < RUNS; i++) await apply(lab, declare(base, servers, ways[i % 2]));
      });
    },
    { rate: RATE },
  );
  const times = await applyTimes(lab, since);
  return (Object.keys(phases) as Phase[]).map((phase) => ({
    servers,
    phase,
    applies: times[phase] ?? [],
    requests: latencies(load, phases[phase]),
  }));
}

function toReport(rows: Row[]): Report {
  const ms = (values: number[], q: number) =>
    values.length > 0 ? quantile(values, q).toFixed(0) : "";
  const ofPhase = (phase: Phase) => rows.filter((row) => row.phase === phase);
  const reloads = ofPhase("reload");
  return {
    comparisons: ofPhase("Runtime API").map(({ servers, applies }, i): Comparison => {
      const [own, reload] = [quantile(applies, 0.5), quantile(reloads[i].applies, 0.5)];
      return {
        figure: `one apply by the Runtime API, ${servers} servers`,
        own: `${own.toFixed(0)} ms`,
        against: `a reload: ${reload.toFixed(0)} ms`,
        ratio: `${(own / reload).toFixed(2)}×`,
        aim: `≤ ${AIM_MS} ms`,
        isMet: own <= AIM_MS,
      };
    }),
    tables: [
      {
        title: "Times in ms:",
        header: [
          ...["servers", "phase", "applies", "apply p50", "slowest"],
          ...["request p50", "request p99", "requests"],
        ],
        rows: rows.map(({ servers, phase, applies, requests }) => [
          ...[servers, phase, applies.length, ms(applies, 0.5), ms(applies, 1)],
          ...[ms(requests, 0.5), ms(requests, 0.99), requests.length],
        ]),
      },
    ],
    plots: [
      {
        file: "apply",
        title: "One apply, and the slowest request of a hundred meanwhile",
        unit: "ms",
        kind: "lines",
        xTitle: "servers",
        x: SERVER_COUNTS,
        series: [
          ...(["Runtime API", "reload"] as const).map((phase) => ({
            name: phase,
            values: ofPhase(phase).map(({ applies }) => quantile(applies, 0.5)),
          })),
          ...(["quiet", "Runtime API", "reload"] as const).map((phase) => ({
            name: `request p99, ${phase}`,
            values: ofPhase(phase).map(({ requests }) => Math.round(quantile(requests, 0.99))),
          })),
        ],
      },
    ],
    notes: ["Servers beyond two are more names for the addresses of the two real nodes."],
  };
}

/** @param progress called with a line for a person who waits */
export async function benchApply(progress: (line: string) => void): Promise<Report> {
  const lab = await LabCheckout.create("bench-apply");
  try {
    await lab.up();
    const base = await readPushed(lab);
    const rows: Row[] = [];
    for (const servers of SERVER_COUNTS) {
      progress(`${servers} servers`);
      rows.push(...(await measure(lab, base, servers)));
    }
    return toReport(rows);
  } finally {
    await lab.remove();
  }
}
