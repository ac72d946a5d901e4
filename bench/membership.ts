/**
 * How fast the balancer follows its nodes, and what a node costs: each figure over several runs on
 * one lab under a client's requests.
 */
import { LabCheckout } from "../test/support/checkout";
import { addByHand, addressIn, awaitAgreement } from "../test/support/cluster";
import { portOf, runningServers } from "../test/support/observe";
import { ask, whenTrue } from "./measure";
import { memoryOf, type MemoryUse } from "./memory";
import { quantile, times, type Report } from "./report";

const RUNS = 20;
const PATIENCE_MS = 20_000;
/** HAProxy's check comes twice a second. */
const CHECKS_AN_HOUR = 7200;

interface Sample {
  [figure: string]: number;
}

const now = () => performance.now();

const eventually = (condition: () => Promise<boolean>) => whenTrue(condition, PATIENCE_MS);

/** Starts a node and times when its application listens and when the balancer first uses it. */
async function timeStart(
  lab: LabCheckout,
  name: string,
  address: string,
  start: () => Promise<unknown>,
): Promise<Sample> {
  const began = now();
  const [listening, answering] = await Promise.all([
    eventually(async () => (await ask(address, 3000, "/health")) !== undefined),
    eventually(async () => (await ask("127.0.0.1", portOf(lab, "httpPort"))) === name),
    start(),
  ]);
  return { "run to answer": answering - began, "listening to answer": answering - listening };
}

/** Ends a node and times the last answer from it, and when HAProxy no longer takes it for up. */
async function timeEnd(
  lab: LabCheckout,
  name: string,
  end: () => Promise<unknown>,
): Promise<Sample> {
  const began = now();
  let last = began;
  let isOver = false;
  const client = async () => {
    while (!isOver) if ((await ask("127.0.0.1", portOf(lab, "httpPort"))) === name) last = now();
  };
  const clients = [client(), client()];
  const [outOfRotation] = await Promise.all([
    eventually(async () => !(await runningServers(lab))[name]?.startsWith("UP")),
    end(),
  ]);
  isOver = true;
  await Promise.all(clients);
  return { "out of rotation": outOfRotation - began, "last answer": last - began };
}

/** The aims of each figure, ms. */
const AIMS: Record<string, number> = {
  "added by hand: listening to answer": 300,
  "declared: listening to answer": 300,
  "docker stop: out of rotation": 300,
  "docker kill: last answer": 500,
};
/** Of a web node, MB. */
const AIMED_MEMORY = 50;

/** @param memory of a node: idle, after an hour's checks, after two hours' */
function toReport(samples: Record<string, Sample[]>, memory: MemoryUse[]): Report {
  const [before, between, after] = memory;
  const figures = Object.entries(samples).flatMap(([title, taken]) =>
    Object.keys(taken[0]).map((figure) => ({
      name: `${title}: ${figure}`,
      values: taken.map((sample) => sample[figure]),
    })),
  );
  return {
    comparisons: [
      ...figures.flatMap(({ name, values }) => {
        const aim = AIMS[name];
        if (aim === undefined) return [];
        const p99 = quantile(values, 0.99);
        const own = `p99 ${p99.toFixed(0)} ms`;
        return { figure: name, own, against: "", ratio: "", aim: `≤ ${aim} ms`, isMet: p99 <= aim };
      }),
      {
        figure: "memory of a web node after two hours' checks",
        own: `${after.all.toFixed(1)} MB`,
        against: `idle: ${before.all.toFixed(1)} MB`,
        ratio: times(after.all / before.all),
        aim: `≤ ${AIMED_MEMORY} MB`,
        isMet: after.all <= AIMED_MEMORY,
      },
    ],
    tables: [
      {
        title: `${RUNS} runs, ms:`,
        header: ["figure", "p50", "p99"],
        rows: figures.map(({ name, values }) => [
          name,
          ...[0.5, 0.99].map((q) => quantile(values, q).toFixed(0)),
        ]),
      },
    ],
    plots: [
      {
        file: "membership",
        title: "How fast the balancer follows its nodes",
        unit: "ms",
        kind: "bars",
        categories: figures.map(({ name }) => name.replace(": ", ":\n")),
        series: [0.5, 0.99].map((q) => ({
          name: `p${100 * q}`,
          values: figures.map(({ values }) => Math.round(quantile(values, q))),
        })),
      },
    ],
    notes: [
      `Memory of a web node, MB: ${before.all.toFixed(1)} idle, of which s6, serf and their ` +
        `scripts ${before.tools.toFixed(1)}; after ${CHECKS_AN_HOUR} checks ${between.all.toFixed(1)}, ` +
        `after as many again ${after.all.toFixed(1)}.`,
    ],
  };
}

/** @param progress called with a line for a person who waits */
export async function benchMembership(progress: (line: string) => void): Promise<Report> {
  const lab = await LabCheckout.create("bench-members");
  try {
    await lab.up();
    const samples: Record<string, Sample[]> = {};
    const take = async (title: string, sample: Promise<Sample>) =>
      (samples[title] ??= []).push(await sample);
    for (let run = 1; run <= RUNS; run++) {
      progress(`run ${run} of ${RUNS}`);
      const s9 = lab.container("s9");
      await take(
        "added by hand",
        timeStart(lab, "s9", addressIn(lab, 234), () => addByHand(lab, "s9")),
      );
      await take(
        "docker stop",
        timeEnd(lab, "s9", () => s9.stop({ t: 10 })),
      );
      await s9.remove();
      await awaitAgreement(lab);
      await take(
        "docker kill",
        timeEnd(lab, "s2", () => lab.container("s2").kill()),
      );
      await awaitAgreement(lab);
      await take(
        "declared",
        timeStart(lab, "s2", addressIn(lab, 12), () => lab.container("s2").start()),
      );
      await awaitAgreement(lab);
    }
    const memory = [await memoryOf(lab, "s1")];
    for (let hour = 1; hour <= 2; hour++) {
      for (let i = 0; i < CHECKS_AN_HOUR; i++) await ask(addressIn(lab, 11), 3000, "/health");
      memory.push(await memoryOf(lab, "s1"));
    }
    return toReport(samples, memory);
  } finally {
    await lab.remove();
  }
}
