/**
 * `npm run bench:membership`: how fast the balancer follows its nodes, and what a node costs. Each
 * figure is taken over several runs on one lab under a client's requests; prints medians (p50) and
 * p99. No assertion: these are figures to compare.
 */
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { LabCheckout } from "../test/e2e/checkout";
import { addByHand, addressIn, awaitAgreement } from "../test/e2e/cluster";
import { portOf, runningServers } from "../test/e2e/observe";

const RUNS = 20;
const POLL_MS = 4;
const PATIENCE_MS = 20_000;
/** HAProxy's check comes twice a second. */
const CHECKS_AN_HOUR = 7200;

interface Sample {
  [figure: string]: number;
}

const now = () => performance.now();

/** The tag in the answer, or undefined if there is none within a second. */
function ask(host: string, port: number, path = "/"): Promise<string | undefined> {
  return new Promise((resolve) => {
    const sent = request({ host, port, path, agent: false, timeout: 1000 });
    sent.on("timeout", () => sent.destroy()).on("error", () => resolve(undefined));
    sent.on("response", (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
      response.on("end", () =>
        resolve(
          response.statusCode === 200
            ? ((JSON.parse(body) as { tag?: string }).tag ?? "")
            : undefined,
        ),
      );
    });
    sent.end();
  });
}

/** When a condition first holds. */
async function whenTrue(condition: () => Promise<boolean>): Promise<number> {
  const deadline = now() + PATIENCE_MS;
  while (!(await condition())) {
    if (now() > deadline) throw new Error("it did not come to be in time");
    await delay(POLL_MS);
  }
  return now();
}

/** Starts a node and times when its application listens and when the balancer first uses it. */
async function timeStart(
  lab: LabCheckout,
  name: string,
  address: string,
  start: () => Promise<unknown>,
): Promise<Sample> {
  const began = now();
  const [listening, answering] = await Promise.all([
    whenTrue(async () => (await ask(address, 3000, "/health")) !== undefined),
    whenTrue(async () => (await ask("127.0.0.1", portOf(lab, "httpPort"))) === name),
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
    whenTrue(async () => !(await runningServers(lab))[name]?.startsWith("UP")),
    end(),
  ]);
  isOver = true;
  await Promise.all(clients);
  return { "out of rotation": outOfRotation - began, "last answer": last - began };
}

function quantile(values: number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)];
}

function tabulate(title: string, samples: Sample[]): string[] {
  return Object.keys(samples[0]).map((figure) => {
    const values = samples.map((sample) => sample[figure]);
    return `| ${title}: ${figure} | ${quantile(values, 0.5).toFixed(0)} ms | ${quantile(values, 0.99).toFixed(0)} ms |`;
  });
}

interface Memory {
  /** Of the container as `docker stats` shows it, MB. */
  all: number;
  /** Of its processes beside the application, MB: each page shared by n counts as 1/n. */
  tools: number;
}

async function memoryOf(lab: LabCheckout, name: string): Promise<Memory> {
  const top = (await lab.container(name).top({ ps_args: "-eo pid,comm" })) as {
    Processes: [pid: string, command: string][];
  };
  const sizes = top.Processes.map(([pid, command]) => {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    return { command, mb: Number(/^Pss:\s+(\d+)/m.exec(text)![1]) / 1024 };
  });
  const sum = (of: typeof sizes) => of.reduce((total, { mb }) => total + mb, 0);
  const { memory_stats: cgroup } = await lab.container(name).stats({ stream: false });
  // Control groups of version 1 and 2 call it differently.
  const { total_inactive_file: v1, inactive_file: v2 } = cgroup.stats as Record<string, number>;
  const all = (cgroup.usage - (v1 ?? v2 ?? 0)) / 2 ** 20;
  return { all, tools: sum(sizes.filter(({ command }) => command !== "node")) };
}

async function bench(): Promise<void> {
  const lab = await LabCheckout.create("bench-members");
  try {
    await lab.up();
    const samples: Record<string, Sample[]> = {};
    const take = async (title: string, sample: Promise<Sample>) =>
      (samples[title] ??= []).push(await sample);
    for (let run = 1; run <= RUNS; run++) {
      console.error(`run ${run} of ${RUNS}`);
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
    const before = await memoryOf(lab, "s1");
    for (let i = 0; i < CHECKS_AN_HOUR; i++) await ask(addressIn(lab, 11), 3000, "/health");
    const between = await memoryOf(lab, "s1");
    for (let i = 0; i < CHECKS_AN_HOUR; i++) await ask(addressIn(lab, 11), 3000, "/health");
    const after = await memoryOf(lab, "s1");
    console.log(`| figure, ${RUNS} runs | p50 | p99 |\n| --- | --- | --- |`);
    for (const [title, taken] of Object.entries(samples))
      console.log(tabulate(title, taken).join("\n"));
    console.log(
      `\nMemory of a web node, MB: ${before.all.toFixed(1)} idle, of which s6, serf and their ` +
        `scripts ${before.tools.toFixed(1)}; after ${CHECKS_AN_HOUR} checks ${between.all.toFixed(1)}, ` +
        `after as many again ${after.all.toFixed(1)}`,
    );
  } finally {
    await lab.remove();
  }
}

bench().catch((error: Error) => {
  console.error(error.message);
  process.exit(1);
});
