/** `up` to many nodes beside docker-compose: what one more costs as their number grows, and what it costs `ha`. */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { readNeighbours } from "../preflight/neighbours";
import { LabCheckout } from "../test/support/checkout";
import { configuratorLog } from "../test/support/balancer";
import { withCompose } from "./compose";
import { memoryOf } from "./memory";
import { withNeighbours } from "./neighbours";
import { run, timed } from "./measure";
import { seconds, times, type Report } from "./report";

const STEPS = [10, 50, 100, 200];
/** Before the first step. */
const FIRST = 2;
/** So many agents and checks on few cores take their time, s. */
const READY_TIMEOUT = 900;
/**
 * With more the agents' own work, a handler in each for each that comes, leaves no time for anything
 * else: on two processors 150 nodes came, and on the way to 200 the load was 1000 and stayed there.
 */
const NODES_A_PROCESSOR = 50;

/** What an `up` is busy with, one after the other, and which line of its output begins it. */
const PHASES: { name: string; line?: RegExp; take?: "last" }[] = [
  { name: "program and checks" },
  { name: "containers", line: /docker:index:Container \S+ creating \(0s\)/ },
  { name: "nodes not yet ready", line: /docker:index:Container \S+ created/, take: "last" },
  { name: "configuration", line: /lab:index:HaproxyConfig \S+ (creating|updating) \(0s\)/ },
];

interface Row {
  nodes: number;
  /** Nodes that came with this step. */
  added: number;
  /** s */
  up: number;
  /** s, by {@link PHASES}. */
  phases: number[];
  /** An `up` with nothing to do, s. */
  empty: number;
  /** The peer's `up` of the same nodes, until it ends and not until they serve, s. */
  peer: number;
  /** Last apply, as the configurator's log has it. */
  apply: string;
  /** MB */
  balancer: number;
  node: number;
  neighbours: Neighbours;
}

/** The kernel's table of neighbours, one for all containers of a host. */
interface Neighbours {
  entries: number;
  /** How often it was full since the host's start. */
  overflows: number;
}

function readUse(): Neighbours {
  const text = readFileSync("/proc/net/stat/arp_cache", "utf8");
  // A row for each processor; the number of entries is the same in all.
  const [header, ...rows] = text
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/));
  const column = (name: string) => rows.map((row) => parseInt(row[header.indexOf(name)], 16));
  return {
    entries: column("entries")[0],
    overflows: column("table_fulls").reduce((sum, count) => sum + count, 0),
  };
}

/** An `up` by its phases, s. */
async function timePhases(lab: LabCheckout): Promise<{ all: number; phases: number[] }> {
  const started = performance.now();
  const begins = PHASES.map(() => NaN);
  begins[0] = 0;
  const onLine = (line: string) => {
    const now = (performance.now() - started) / 1000;
    for (const [i, { line: pattern, take }] of PHASES.entries()) {
      if (pattern?.test(line) && (take === "last" || Number.isNaN(begins[i]))) begins[i] = now;
    }
  };
  const args = ["up", "--yes", "--skip-preview", "--non-interactive", "--stack", lab.stack];
  const command = [join(lab.folder, "cli/pulumi/pulumi"), ...args];
  const all = await timed(() => run(command, { cwd: lab.folder, onLine }));
  const ends = [...begins.slice(1), all];
  return { all, phases: ends.map((end, i) => end - begins[i]) };
}

async function measure(lab: LabCheckout, nodes: number, added: number): Promise<Omit<Row, "peer">> {
  await lab.configure("nodeCount", nodes);
  const { all, phases } = await timePhases(lab);
  const applies = (await configuratorLog(lab)).filter((line) => line.startsWith("applied by "));
  const empty = await timed(() => lab.up());
  return {
    ...{ nodes, added, up: all, phases, empty },
    apply: /^applied by (.+ in \d+ ms)/.exec(applies.at(-1) ?? "")?.[1] ?? "",
    balancer: (await memoryOf(lab, "ha")).all,
    node: (await memoryOf(lab, "s1")).all,
    neighbours: readUse(),
  };
}

function toReport(rows: Row[], leftOut: number[]): Report {
  const perNode = ({ up, empty, added }: Row) => (1000 * (up - empty)) / added;
  return {
    comparisons: rows
      .filter(({ nodes }) => nodes >= 50)
      .map((row) => ({
        figure: `up to ${row.nodes} nodes, ${row.added} of them new`,
        own: seconds(row.up),
        against: `docker-compose: ${seconds(row.peer)}`,
        ratio: times(row.up / row.peer),
        aim: `${perNode(row).toFixed(0)} ms a new node, ≤ 1.5 × ${perNode(rows[0]).toFixed(0)} ms`,
        isMet: perNode(row) <= 1.5 * perNode(rows[0]),
      })),
    tables: [
      {
        title: "What an up is busy with, s:",
        header: [
          "nodes",
          "up",
          ...PHASES.map(({ name }) => name),
          "nothing to do",
          "a new node",
          "docker-compose",
        ],
        rows: rows.map((row) => [
          ...[row.nodes, row.up.toFixed(1), ...row.phases.map((phase) => phase.toFixed(1))],
          ...[row.empty.toFixed(1), `${perNode(row).toFixed(0)} ms`, row.peer.toFixed(1)],
        ]),
      },
      {
        title: "What it costs:",
        header: [
          "nodes",
          "last apply",
          "ha, MB",
          "a node, MB",
          "neighbours",
          "overflows since boot",
        ],
        rows: rows.map(({ nodes, apply, balancer, node, neighbours }) => [
          ...[nodes, apply, balancer.toFixed(0), node.toFixed(0)],
          ...[neighbours.entries, neighbours.overflows],
        ]),
      },
    ],
    plots: [
      {
        file: "growth-peer",
        title: "s for each new node",
        unit: "s",
        kind: "lines",
        xTitle: "nodes",
        x: rows.map(({ nodes }) => nodes),
        series: [
          { name: "this lab", values: rows.map((row) => Number((row.up / row.added).toFixed(2))) },
          {
            name: "docker-compose",
            values: rows.map(({ peer, added }) => Number((peer / added).toFixed(2))),
          },
        ],
      },
      {
        file: "growth",
        title: "up to so many nodes",
        unit: "s",
        kind: "stacked",
        categories: rows.map(({ nodes, added }) => `${nodes - added} → ${nodes}`),
        series: PHASES.map(({ name }, i) => ({
          name,
          values: rows.map(({ phases }) => Number(phases[i].toFixed(1))),
        })),
      },
    ],
    notes: [
      `The kernel's table of neighbours holds ${readNeighbours()} (gc_thresh3).`,
      ...leftOut.map(
        (nodes) =>
          `**Left out: ${nodes} nodes.** It takes a processor for every ${NODES_A_PROCESSOR}; ` +
          `this machine has ${availableParallelism()}.`,
      ),
    ],
  };
}

/** @param progress called with a line for a person who waits */
export function benchGrowth(progress: (line: string) => void): Promise<Report> {
  const most = NODES_A_PROCESSOR * availableParallelism();
  const steps = STEPS.filter((nodes) => nodes <= most);
  const leftOut = STEPS.filter((nodes) => nodes > most);
  return withNeighbours(Math.max(...steps), progress, async () =>
    toReport(await grow(steps, progress), leftOut),
  );
}

async function grow(steps: number[], progress: (line: string) => void): Promise<Row[]> {
  const lab = await LabCheckout.create("bench-growth");
  try {
    await lab.configure("nodePorts", 0);
    await lab.configure("readyTimeout", READY_TIMEOUT);
    await lab.scale(FIRST);
    const own: Omit<Row, "peer">[] = [];
    for (const nodes of steps) {
      progress(`${nodes} nodes`);
      own.push(await measure(lab, nodes, nodes - (own.at(-1)?.nodes ?? FIRST)));
    }
    await lab.scale(1);
    return await withCompose(lab, progress, async ({ scale }) => {
      await scale(FIRST);
      const rows: Row[] = [];
      for (const row of own) {
        progress(`docker-compose: ${row.nodes} nodes`);
        rows.push({ ...row, peer: await timed(() => scale(row.nodes)) });
      }
      return rows;
    });
  } finally {
    await lab.remove();
  }
}
