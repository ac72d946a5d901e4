/** One fault on one lab under load, and what came of it. */
import { withoutFrames } from "../../docker/exec";
import type { LabCheckout } from "./checkout";
import { type Fault, type Killing, settle, slowDown } from "./faults";
import { longestGap, SHAPES, summarize, underLoad, type LoadResult } from "./load";
import { balancersOf, names } from "./observe";
import { PostWitness, type PostCount } from "./postWitness";

export interface TrialOptions {
  /** How long each node takes for an answer at least, until it starts anew; ms. */
  delayMs: number;
  /** GETs of each shape at least. */
  atLeast: number;
}

export interface Trial extends TrialOptions {
  fault: Fault;
  load: LoadResult;
  posts: PostCount;
  /** Requests that HAProxy ended unusually, by status and the log's termination state. */
  terminations: Record<string, number>;
  /** Requests that HAProxy sent a second time, or to another server than the first. */
  retried: number;
  /** When balancers were killed: from and to, ms since the load began. */
  kills: [from: number, to: number][];
  /** When the parts of the trial began, ms since the load did. */
  marks: Record<string, number>;
  /** Why the fault itself could not be done as it should. */
  failure?: string;
}

/** Dense enough that a gap of some milliseconds shows. */
const LOAD = { rate: 110, postRate: 10 };

/** Does a fault under load, heals it and waits until the lab is as before. */
export async function tryFault(
  lab: LabCheckout,
  fault: Fault,
  options: TrialOptions,
): Promise<Trial> {
  const { delayMs, atLeast } = options;
  await fault.prepare?.(lab);
  await slowDown(lab, names(fault.nodes), delayMs);
  const witness = await PostWitness.watch(lab);
  const marks: Record<string, number> = {};
  const kills: Trial["kills"] = [];
  const killing: Killing = async (kill) => {
    const from = Date.now();
    const result = await kill();
    kills.push([from, Date.now()]);
    return result;
  };
  const started = Date.now();
  let failure: string | undefined;
  const mark = (name: string) => (marks[name] = Date.now());
  const attempt = async (name: string, work: () => Promise<unknown>) => {
    mark(name);
    await work().catch((error: Error) => (failure ??= `${name}: ${condense(error)}`));
  };
  try {
    const load = await underLoad(
      lab,
      async () => {
        await attempt("fault", async () => fault.inject(lab, killing));
        await attempt("healing", async () => fault.heal?.(lab));
        await attempt("agreement", () => settle(lab));
        mark("over");
      },
      { ...LOAD, atLeast },
    );
    for (const name in marks) marks[name] -= load.began;
    for (const kill of kills) for (const i of [0, 1]) kill[i] -= load.began;
    const posts = await witness.count(load.exchanges);
    const log = await readHaproxyLog(lab, started);
    return { ...options, fault, load, posts, ...log, kills, marks, failure };
  } finally {
    witness.stop();
  }
}

/** Pulumi tells the whole story of an update that failed; what counts is its errors. */
function condense({ message }: Error): string {
  const [first, ...more] = message.split("\n");
  const errors = more.filter((line) => line.trimStart().startsWith("error:"));
  return [first, ...(errors.length > 0 ? errors : more)].join("\n");
}

/** What a trial did not reach of what has to be, and separately of what should be in time. */
export function judge({ fault, load, posts, failure, delayMs, kills }: Trial) {
  const { cut, inFlight } = countCut(load, kills);
  const { slowestMs, outageMs } = fault.aims;
  const slowest = Math.max(...SHAPES.map((shape) => summarize(load, shape).slowest));
  const gap = longestGap(load);
  const broken = [
    ...(failure ? [failure] : []),
    // While a lone balancer is away Docker's proxy accepts and resets what arrives: that is the outage.
    ...(outageMs === undefined
      ? [
          ...(load.lost.length > cut ? load.lost : []),
          ...(cut > inFlight ? [`${cut} GETs cut, ${inFlight} were in flight`] : []),
        ]
      : []),
    ...posts.twice.map((id) => `POST ${id} reached nodes twice`),
  ];
  const late = [
    ...(slowestMs !== undefined && slowest > slowestMs + delayMs
      ? [`slowest ${slowest.toFixed(0)} ms, aim ${slowestMs} + ${delayMs}`]
      : []),
    ...(outageMs !== undefined && gap > outageMs
      ? [`${gap.toFixed(0)} ms without service, aim ${outageMs}`]
      : []),
  ];
  return { broken, late, slowest, gap, cut };
}

/** How a request ends whose connection does. */
const CONNECTION_ENDED = ["ECONNRESET", "EPIPE", "UND_ERR_SOCKET"];

/**
 * The GETs that a killed balancer had accepted and did not answer, and how many there were of which that
 * can be said: the most that were under way at one time while it was killed.
 */
function countCut({ exchanges }: LoadResult, kills: Trial["kills"]) {
  const gets = exchanges.filter(({ method }) => method === "GET");
  let [cut, inFlight] = [0, 0];
  for (const [from, to] of kills) {
    const underWay = gets.filter(({ at, took }) => at <= to && at + took >= from);
    cut += underWay.filter(
      ({ lost }) => lost !== undefined && CONNECTION_ENDED.includes(lost),
    ).length;
    const at = (moment: number) =>
      underWay.filter((one) => one.at <= moment && one.at + one.took >= moment).length;
    inFlight += Math.max(...[from, ...underWay.map((one) => one.at)].map(at));
  }
  return { cut, inFlight };
}

/**
 * HAProxy's own account of its requests to the nodes: what ended unusually, and what was tried
 * again (configuration.txt, 8.2.3 "HTTP log format" and 8.5 "Session state at disconnection").
 */
async function readHaproxyLog(lab: LabCheckout, since: number) {
  const options = { stdout: true, stderr: true, since: Math.floor(since / 1000) } as const;
  const logs = balancersOf(lab).map(({ name }) => lab.container(name).logs(options));
  const text = (await Promise.all(logs)).map(withoutFrames).join("\n");
  const terminations: Record<string, number> = {};
  let retried = 0;
  const line =
    /^haproxy: .* nodes\/(\S+) \S+ (-?\d+) \d+ - - (\S\S)\S\S \d+\/\d+\/\d+\/\d+\/(\+?\d+) \S+ "(\w+) /gm;
  for (const [, server, status, state, retries, method] of text.matchAll(line)) {
    if (retries !== "0") retried++;
    if (state === "--" && Number(status) < 500) continue;
    const key = `${method} ${server} ${status} ${state}`;
    terminations[key] = (terminations[key] ?? 0) + 1;
  }
  return { terminations, retried };
}
