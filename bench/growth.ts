/**
 * `up` to many nodes under a client's requests, beside docker-compose: what one more costs as their number grows,
 * what all of them cost when nothing happens, and what they cost `ha`.
 */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { readNeighbours } from "../preflight/neighbours";
import { LabCheckout } from "../test/support/checkout";
import { configuratorLog } from "../test/support/balancer";
import { expectAgreement } from "../test/support/cluster";
import { underLoads } from "../test/support/load";
import { portOf } from "../test/support/observe";
import { withCompose } from "./compose";
import { memoryOf } from "./memory";
import { withNeighbours } from "./neighbours";
import { readBusy, run, timed, whenAnswered } from "./measure";
import { seconds, times, type Plot, type Report } from "./report";

const STEPS = [10, 50, 100, 200];
/** Before the first step. */
const FIRST = 2;
/** So many agents and checks on few cores take their time, s. */
const READY_TIMEOUT = 900;
/** With more the agents' own work, a handler in each for each that comes, may leave no time for anything else. */
const NODES_A_PROCESSOR = 100;
/** GETs a second, of each of two shapes. */
const LOAD = { rate: 25, postRate: 0 };
/** What nodes cost when nothing happens: begins so long after the last change, and takes so long, s. */
const SETTLES_IN = 10;
const SETTLED_FOR = 30;

/** What an `up` is busy with, one after the other, and which line of its output begins it. */
const PHASES: { name: string; line?: RegExp; take?: "last" }[] = [
  { name: "program and checks" },
  { name: "containers", line: /docker:index:Container \S+ creating \(0s\)/ },
  { name: "nodes not yet ready", line: /docker:index:Container \S+ created/, take: "last" },
  { name: "configuration", line: /lab:index:HaproxyConfig \S+ (creating|updating) \(0s\)/ },
];

/** What an `up` to so many nodes costs, whoever does it. */
interface Cost {
  /** s */
  took: number;
  /** Of all processors for each new node, s. */
  work: number;
  /** Of all processors for each node in a minute in which nothing happens, ms. */
  settled: number;
  sent: number;
  lost: number;
}

interface Row {
  nodes: number;
  /** Nodes that came with this step. */
  added: number;
  up: Cost;
  /** s, by {@link PHASES}. */
  phases: number[];
  /** Until membership, /nodes, haproxy.cfg and HAProxy agree after it, s. */
  agreed: number;
  /** An `up` with nothing to do, s. */
  empty: number;
  /** The peer's `up` of the same nodes, until it ends and not until they serve. */
  peer: Cost;
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

/** @param work the `up`, whose time it gives, s */
async function costOf(
  port: number,
  { nodes, added }: Pick<Row, "nodes" | "added">,
  work: () => Promise<number>,
): Promise<Cost> {
  let [took, busy] = [NaN, NaN];
  const [{ sent, lost }] = await underLoads(
    [port],
    async () => {
      const began = readBusy();
      took = await work();
      busy = readBusy() - began;
    },
    LOAD,
  );
  await delay(1000 * SETTLES_IN);
  const quiet = readBusy();
  await delay(1000 * SETTLED_FOR);
  const settled = ((readBusy() - quiet) / nodes) * 1000 * (60 / SETTLED_FOR);
  return { took, work: busy / added, settled, sent, lost: lost.length };
}

async function measure(lab: LabCheckout, nodes: number, added: number): Promise<Omit<Row, "peer">> {
  await lab.configure("nodeCount", nodes);
  let [phases, agreed]: [number[], number] = [[], NaN];
  const up = await costOf(portOf(lab, "httpPort"), { nodes, added }, async () => {
    const { all, phases: parts } = await timePhases(lab);
    phases = parts;
    agreed = await timed(() => expectAgreement(lab));
    return all;
  });
  const applies = (await configuratorLog(lab)).filter((line) => line.startsWith("applied by "));
  const empty = await timed(() => lab.up());
  return {
    ...{ nodes, added, up, phases, agreed, empty },
    apply: /^applied by (.+ in \d+ ms)/.exec(applies.at(-1) ?? "")?.[1] ?? "",
    balancer: (await memoryOf(lab, "ha")).all,
    node: (await memoryOf(lab, "s1")).all,
    neighbours: readUse(),
  };
}

function toReport(rows: Row[], leftOut: number[]): Report {
  const byNodes = (
    file: string,
    title: string,
    unit: string,
    figure: (cost: Cost, row: Row) => number,
  ): Plot => {
    const series = (name: string, whose: "up" | "peer") => ({
      name,
      values: rows.map((row) => Number(figure(row[whose], row).toFixed(2))),
    });
    return {
      ...{ file, title, unit, kind: "lines", xTitle: "nodes", x: rows.map(({ nodes }) => nodes) },
      series: [series("this lab", "up"), series("docker-compose", "peer")],
    };
  };
  const perNode = ({ up, empty, added }: Row) => (1000 * (up.took - empty)) / added;
  const many = rows.filter(({ nodes }) => nodes >= 50);
  return {
    comparisons: [
      ...many.map((row) => ({
        figure: `up to ${row.nodes} nodes, ${row.added} of them new`,
        own: seconds(row.up.took),
        against: `docker-compose: ${seconds(row.peer.took)}`,
        ratio: times(row.up.took / row.peer.took),
        aim: `${perNode(row).toFixed(0)} ms a new node, ≤ 1.5 × ${perNode(rows[0]).toFixed(0)} ms`,
        isMet: perNode(row) <= 1.5 * perNode(rows[0]),
      })),
      ...many.map(({ nodes, up, peer }) => ({
        figure: `${nodes} nodes when nothing happens, of a processor for each in a minute`,
        own: `${up.settled.toFixed(0)} ms`,
        against: `docker-compose: ${peer.settled.toFixed(0)} ms`,
        ratio: times(up.settled / peer.settled),
        aim: "≤ 100 ms",
        isMet: up.settled <= 100,
      })),
      ...many.map(({ nodes, up, peer }) => ({
        figure: `GETs lost on the way to ${nodes} nodes`,
        own: `${up.lost} of ${up.sent}`,
        against: `docker-compose: ${peer.lost} of ${peer.sent}`,
        ratio: "",
        aim: "0",
        isMet: up.lost === 0,
      })),
    ],
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
          ...[row.nodes, row.up.took.toFixed(1), ...row.phases.map((phase) => phase.toFixed(1))],
          ...[row.empty.toFixed(1), `${perNode(row).toFixed(0)} ms`, row.peer.took.toFixed(1)],
        ]),
      },
      {
        title: "What it costs:",
        header: [
          "nodes",
          "agree after, s",
          "last apply",
          "ha, MB",
          "a node, MB",
          "neighbours",
          "overflows since boot",
        ],
        rows: rows.map(({ nodes, agreed, apply, balancer, node, neighbours }) => [
          ...[nodes, agreed.toFixed(1), apply, balancer.toFixed(0), node.toFixed(0)],
          ...[neighbours.entries, neighbours.overflows],
        ]),
      },
    ],
    plots: [
      byNodes("growth-peer", "s for each new node", "s", ({ took }, { added }) => took / added),
      byNodes("growth-work", "Of the processors for each new node", "s", ({ work }) => work),
      byNodes(
        "growth-settled",
        "When nothing happens, for each node in a minute",
        "ms",
        ({ settled }) => settled,
      ),
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
    return await withCompose(lab, progress, async ({ port, scale }) => {
      await scale(FIRST);
      await whenAnswered(port, FIRST, 60_000);
      const rows: Row[] = [];
      for (const row of own) {
        progress(`docker-compose: ${row.nodes} nodes`);
        rows.push({ ...row, peer: await costOf(port, row, () => timed(() => scale(row.nodes))) });
      }
      return rows;
    });
  } finally {
    await lab.remove();
  }
}
