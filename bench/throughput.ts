/**
 * Requests per second through `ha`, in turn with an HAProxy of a minimal configuration before the
 * same nodes. Debian's wrk sends them: it takes little of a machine that also runs what it measures.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type Docker from "dockerode";
import { planTopology } from "../config/topology";
import { findFreePorts } from "../preflight/freePlaces";
import { LabCheckout } from "../test/support/checkout";
import { configOf } from "../test/support/observe";
import { needProgram, run, whenAnswered } from "./measure";
import { median, quantile, times, type Report } from "./report";

const NODE_COUNTS = [1, 2, 10];
/** Many short ones: whoever shares the processors disturbs a machine for longer than a pair lasts. */
const PAIRS = 30;
const LASTS_S = 1;
const CONNECTIONS = 50;
const PATIENCE_MS = 30_000;

interface Throughput {
  /** Requests a second. */
  rate: number;
  /** ms */
  p99: number;
}

/** What wrk says of a time with its unit, in ms. */
function toMs(text: string): number {
  const [, value, unit] = /^([\d.]+)(us|ms|s)$/.exec(text)!;
  return Number(value) * { us: 0.001, ms: 1, s: 1000 }[unit as "us" | "ms" | "s"];
}

async function measure(port: number): Promise<Throughput> {
  const load = ["--threads", "1", "--connections", `${CONNECTIONS}`, "--duration", `${LASTS_S}s`];
  const output = await run(["wrk", ...load, "--latency", `http://127.0.0.1:${port}/`]);
  if (/Non-2xx|Socket errors/.test(output)) throw new Error(output);
  return {
    rate: Number(/^Requests\/sec:\s+([\d.]+)/m.exec(output)![1]),
    p99: toMs(/^\s+99%\s+(\S+)/m.exec(output)![1]),
  };
}

/** An HAProxy of its own before the lab's nodes. */
async function startPeer(lab: LabCheckout, nodes: number, port: number): Promise<Docker.Container> {
  const topology = planTopology(configOf(lab, nodes));
  const servers = topology.nodes.map(
    ({ name, address }) => `  server ${name} ${address}:${topology.appPort} check\n`,
  );
  const config = readFileSync(join(__dirname, "peers/minimal.cfg"), "utf8") + servers.join("");
  const container = await lab.host.engine.createContainer({
    name: `${lab.config.namePrefix}peer`,
    Image: topology.images.ha,
    Entrypoint: ["sh", "-c", 'echo "$CONFIG" >/tmp/peer.cfg; exec haproxy -W -db -f /tmp/peer.cfg'],
    Env: [`CONFIG=${config}`],
    ExposedPorts: { "80/tcp": {} },
    HostConfig: {
      NetworkMode: `${lab.config.namePrefix}heig`,
      PortBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: `${port}` }] },
    },
  });
  await container.start();
  await whenAnswered(port, nodes, PATIENCE_MS);
  return container;
}

interface Row {
  nodes: number;
  own: Throughput[];
  peer: Throughput[];
}

async function measurePairs(lab: LabCheckout, nodes: number, port: number): Promise<Row> {
  const row: Row = { nodes, own: [], peer: [] };
  const peer = await startPeer(lab, nodes, port);
  try {
    const measureOwn = async () => row.own.push(await measure(Number(lab.config.httpPort)));
    const measurePeer = async () => row.peer.push(await measure(port));
    // One of each uncounted: the nodes' code is not compiled yet.
    await measureOwn();
    await measurePeer();
    row.own.length = row.peer.length = 0;
    for (let pair = 0; pair < PAIRS; pair++) {
      // Who is second has warmer nodes.
      const inTurn = pair % 2 === 0 ? [measureOwn, measurePeer] : [measurePeer, measureOwn];
      for (const one of inTurn) await one();
    }
    return row;
  } finally {
    await peer.remove({ force: true });
  }
}

function toReport(rows: Row[]): Report {
  const rates = (of: Throughput[]) => of.map(({ rate }) => rate);
  const p99 = (of: Throughput[]) => median(of.map(({ p99 }) => p99));
  const ratios = ({ own, peer }: Row) => own.map(({ rate }, i) => rate / peer[i].rate);
  const quartiles = (values: number[]) =>
    [0.25, 0.5, 0.75].map((part) => times(quantile(values, part))).join(" ");
  return {
    comparisons: rows.map((row) => {
      const ratio = median(ratios(row));
      return {
        figure: `requests/s through ha, ${row.nodes} nodes`,
        own: median(rates(row.own)).toFixed(0),
        against: `minimal haproxy.cfg: ${median(rates(row.peer)).toFixed(0)}`,
        ratio: times(ratio),
        aim: "≥ 0.98×",
        isMet: ratio >= 0.98,
      };
    }),
    tables: [
      {
        title: `${PAIRS} pairs of ${LASTS_S} s, ${CONNECTIONS} connections; medians:`,
        header: [
          "nodes",
          "requests/s",
          "minimal",
          "quartiles of the pairs' ratios",
          "p99, ms",
          "minimal",
        ],
        rows: rows.map((row) => [
          ...[row.nodes, median(rates(row.own)).toFixed(0), median(rates(row.peer)).toFixed(0)],
          quartiles(ratios(row)),
          ...[p99(row.own).toFixed(1), p99(row.peer).toFixed(1)],
        ]),
      },
    ],
    plots: [
      {
        file: "throughput",
        title: "Requests through the balancer",
        unit: "requests/s",
        kind: "bars",
        categories: rows.map(({ nodes }) => `${nodes} nodes`),
        series: [
          { name: "ha", values: rows.map(({ own }) => Math.round(median(rates(own)))) },
          {
            name: "minimal haproxy.cfg",
            values: rows.map(({ peer }) => Math.round(median(rates(peer)))),
          },
        ],
      },
    ],
    notes: [],
  };
}

/** @param progress called with a line for a person who waits */
export async function benchThroughput(progress: (line: string) => void): Promise<Report> {
  await needProgram("wrk", "to send the requests", progress);
  const lab = await LabCheckout.create("bench-through");
  try {
    const { httpPort } = await findFreePorts("bench-minimal");
    const rows: Row[] = [];
    for (const nodes of NODE_COUNTS) {
      progress(`${nodes} nodes`);
      await lab.scale(nodes);
      rows.push(await measurePairs(lab, nodes, httpPort));
    }
    return toReport(rows);
  } finally {
    await lab.remove();
  }
}
