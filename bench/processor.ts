/** Where the processor's time goes when nodes are added: all processes of this machine, by their part. */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { listProcesses, type Process } from "../state/processes";
import { LabCheckout } from "../test/support/checkout";
import { names } from "../test/support/observe";
import { readBusy, TICKS_A_SECOND, timed } from "./measure";
import { median, type Report } from "./report";

const ROUNDS = 3;
const BEFORE = 1;
const ADDED = 10;
const SAMPLE_EVERY_MS = 100;

const PARTS = [
  "Pulumi CLI",
  "the program",
  "provider lab",
  "provider docker",
  "dockerd, containerd",
  "shims and runc",
  "docker-proxy",
  "nodes: application",
  "nodes: Serf agent",
  "nodes: s6, and programs that ended",
  "ha",
  "kernel, and what else runs",
] as const;
type Part = (typeof PARTS)[number];
type Use = Record<Part, number>;

/** Processes of the host by what they are; those in containers are told by their container. */
const HOST_PARTS: [pattern: RegExp, part: Part][] = [
  [/pulumi-resource-lab/, "provider lab"],
  [/pulumi-resource-docker/, "provider docker"],
  [/bundles\/run\.cjs/, "the program"],
  [/^(\S*\/)?pulumi(-language-nodejs)?( |$)/, "Pulumi CLI"],
  [/^(\S*\/)?(dockerd|containerd)( |$)/, "dockerd, containerd"],
  [/^(\S*\/)?containerd-shim/, "shims and runc"],
  [/^(\S*\/)?docker-proxy/, "docker-proxy"],
];

function readFields(file: string): string[] {
  return readFileSync(file, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
}

/** What a process has used, s; with its children that ended where they are its part's. */
function useOf(pid: number, withChildren: boolean): number {
  try {
    const fields = readFields(`/proc/${pid}/stat`).slice(11, withChildren ? 15 : 13);
    return fields.reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS_A_SECOND;
  } catch {
    return 0; // ended meanwhile
  }
}

/** Follows the processes of the host while something runs. */
async function follow(work: () => Promise<unknown>): Promise<Map<Part, number>> {
  const first = new Map<number, number>();
  const last = new Map<number, { part: Part; use: number }>();
  const look = (isFirst: boolean) => {
    for (const { pid, command } of listProcesses()) {
      const part = partOf(command);
      if (part === undefined) continue;
      const withChildren = part === "shims and runc" || part === "dockerd, containerd";
      const use = useOf(pid, withChildren);
      if (isFirst) first.set(pid, use);
      last.set(pid, { part, use });
    }
  };
  look(true);
  const timer = setInterval(() => look(false), SAMPLE_EVERY_MS);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  look(false);
  const sums = new Map<Part, number>();
  for (const [pid, { part, use }] of last) {
    sums.set(part, (sums.get(part) ?? 0) + use - (first.get(pid) ?? 0));
  }
  return sums;
}

const partOf = (command: Process["command"]) =>
  HOST_PARTS.find(([pattern]) => pattern.test(command.join(" ")))?.[1];

/** What a container and its living processes have used so far, s. */
async function useOfContainer(lab: LabCheckout, name: string) {
  const container = lab.container(name);
  const { cpu_stats: cpu } = await container.stats({ stream: false, "one-shot": true });
  const { Processes } = (await container.top({ ps_args: "-eo pid,comm" })) as {
    Processes: [pid: string, command: string][];
  };
  const of = (program: string) =>
    Processes.filter(([, command]) => basename(command) === program).reduce(
      (sum, [pid]) => sum + useOf(Number(pid), false),
      0,
    );
  return { all: cpu.cpu_usage.total_usage / 1e9, application: of("node"), agent: of("serf") };
}

/** @returns s of processor time by part, and how long it took, s */
async function takeRound(lab: LabCheckout): Promise<{ use: Use; took: number }> {
  await lab.scale(BEFORE);
  await lab.configure("nodeCount", BEFORE + ADDED);
  const [busy, ha] = [readBusy(), await useOfContainer(lab, "ha")];
  const old = await useOfContainer(lab, names(BEFORE)[0]);
  let took = NaN;
  const host = await follow(async () => (took = await timed(() => lab.up())));
  const all = readBusy() - busy;
  const nodes = await Promise.all(names(BEFORE + ADDED).map((name) => useOfContainer(lab, name)));
  const sum = (key: keyof typeof old) =>
    nodes.reduce((total, node) => total + node[key], 0) - old[key];
  const known: Partial<Use> = {
    ...Object.fromEntries(host),
    "nodes: application": sum("application"),
    "nodes: Serf agent": sum("agent"),
    "nodes: s6, and programs that ended": sum("all") - sum("application") - sum("agent"),
    ha: (await useOfContainer(lab, "ha")).all - ha.all,
  };
  const told = Object.values(known).reduce((total, use) => total + use, 0);
  const rest = { "kernel, and what else runs": Math.max(0, all - told) };
  const use = Object.fromEntries(PARTS.map((part) => [part, { ...known, ...rest }[part] ?? 0]));
  return { use: use as Use, took };
}

function toReport(rounds: { use: Use; took: number }[], empty: number): Report {
  const typical = PARTS.map((part) => median(rounds.map(({ use }) => use[part])));
  const totals = rounds.map(({ use }) => Object.values(use).reduce((sum, one) => sum + one, 0));
  const perNode = (median(totals) - empty) / ADDED;
  return {
    comparisons: [
      {
        figure: `processor time of an added node, ${BEFORE} → ${BEFORE + ADDED}, less an empty up`,
        own: `${perNode.toFixed(2)} s`,
        against: `an empty up: ${empty.toFixed(2)} s`,
        ratio: "",
        aim: "≤ 0.8 s",
        isMet: perNode <= 0.8,
      },
    ],
    tables: [
      {
        title: `Seconds of a processor, ${BEFORE} → ${BEFORE + ADDED} nodes, median of ${ROUNDS} rounds:`,
        header: ["part", "s", "a node, ms"],
        rows: [
          ...PARTS.map((part, i) => [
            part,
            typical[i].toFixed(2),
            ((1000 * typical[i]) / ADDED).toFixed(0),
          ]),
          ["all", median(totals).toFixed(2), ((1000 * median(totals)) / ADDED).toFixed(0)],
        ],
      },
    ],
    plots: [
      {
        file: "processor",
        title: `Processor time, ${BEFORE} → ${BEFORE + ADDED} nodes`,
        unit: "s",
        kind: "stacked",
        categories: rounds.map((_, i) => `round ${i + 1}`),
        series: PARTS.map((name) => ({
          name,
          values: rounds.map(({ use }) => Number(use[name].toFixed(2))),
        })),
      },
    ],
    notes: [
      `Each up took ${rounds.map(({ took }) => took.toFixed(1)).join(", ")} s. What a command of the ` +
        "engine starts and waits for counts as the engine's.",
    ],
  };
}

/** @param progress called with a line for a person who waits */
export async function benchProcessor(progress: (line: string) => void): Promise<Report> {
  const lab = await LabCheckout.create("bench-processor");
  try {
    await lab.scale(BEFORE + ADDED); // images and caches
    const rounds: Awaited<ReturnType<typeof takeRound>>[] = [];
    for (let round = 1; round <= ROUNDS; round++) {
      progress(`round ${round} of ${ROUNDS}`);
      rounds.push(await takeRound(lab));
    }
    const busy = readBusy();
    await lab.up();
    return toReport(rounds, readBusy() - busy);
  } finally {
    await lab.remove();
  }
}
