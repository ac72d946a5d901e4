/**
 * Load on a lab's published port: what clients see while something else happens. Two shapes at once,
 * keep-alive connections and a fresh connection for each request, each at a rate of its own that
 * does not wait for answers, and no request is ever sent twice.
 *
 * The requests go by undici's clients; the schedule is ours. autocannon, the well-kept generator for
 * Node.js, cannot do this (9.0.0, lib/httpClient.js): a connection that the server closes takes its
 * request along unseen, neither answered nor counted as an error, which is just the loss looked for
 * here; a request on a fresh connection (`reconnectRate: 1`) is not reported at all; and nothing
 * ties an answer to its time and body. wrk, hey and vegeta are no npm packages. undici does not
 * repeat a request by itself and tells each one's end; 6.x is the line that runs on all of Node 20.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { Client, Pool, type Dispatcher } from "undici";
import type { LabCheckout } from "./checkout";
import { takeTurn } from "./oneAtATime";

/** How a client connects. */
export const SHAPES = ["keep-alive", "fresh"] as const;
export type Shape = (typeof SHAPES)[number];

/** The application's own answers: it has nothing to POST to, and HAProxy never says 404 by itself. */
const ANSWER = { GET: 200, POST: 404 };
/** A request without an answer for so long is lost. */
const LOST_AFTER_MS = 5000;
const TICK_MS = 4;
/** The load is bounded, whatever is done under it. */
const MAX_REQUESTS = 100_000;
const MAX_MS = 300_000;
/** Connections that are kept alive at least, used in turn, so that each is idle between its requests. */
const KEPT_ALIVE = 20;
/** Work begins when each shape has had so many answers. */
const WARM_UP = 30;

export interface LoadOptions {
  /** GETs a second, for each shape; more makes a gap more exact and takes more of the processor. */
  rate?: number;
  /** POSTs a second, for each shape; 0 for none. */
  postRate?: number;
  /** The load goes on after the work until each shape has sent so many GETs. */
  atLeast?: number;
}

/** One request and what came of it. */
export interface Exchange {
  shape: Shape;
  method: "GET" | "POST";
  /** When it was sent, ms since the load began. */
  at: number;
  /** Until its answer was complete, or until it was lost, ms. */
  took: number;
  /** Tag of the node that answered a GET. */
  node?: string;
  /** Of a POST: the id in its URL. */
  id?: string;
  /** Why it counts as lost. */
  lost?: string;
}

export interface LoadResult {
  exchanges: Exchange[];
  /** Clock time of the beginning, ms. */
  began: number;
  /** Longest time in which this process itself stood still, ms: an answer may seem as late. */
  stalled: number;
  /** GETs of both shapes. */
  sent: number;
  /** What went wrong, a line for each GET that was lost. */
  lost: string[];
}

/** One shape's requests of one method in figures; times in ms. */
export interface Summary {
  sent: number;
  lost: number;
  /** How many were lost by each reason. */
  reasons: Record<string, number>;
  p50: number;
  p99: number;
  slowest: number;
}

/** Sends requests until the work has ended, and as many as asked for. */
export async function underLoad(
  lab: LabCheckout,
  work: () => Promise<void>,
  options: LoadOptions = {},
): Promise<LoadResult> {
  return (await underLoads([Number(lab.config.httpPort)], work, options))[0];
}

/**
 * The same at several ports of 127.0.0.1 at once, with as many requests at each. One load at a time
 * on a machine: tests side by side would measure each other.
 */
export async function underLoads(
  ports: readonly number[],
  work: () => Promise<void>,
  options: LoadOptions = {},
): Promise<LoadResult[]> {
  const giveTurnBack = await takeTurn("load");
  const loads = ports.map((port) => new Load(port, options));
  const reach = (count: number) => Promise.all(loads.map((load) => load.reaches(count)));
  try {
    await reach(WARM_UP);
    await work();
    await reach(options.atLeast ?? 0);
  } finally {
    await Promise.all(loads.map((load) => load.stop()));
    giveTurnBack();
  }
  return loads.map((load) => load.result());
}

export function summarize(
  { exchanges }: Pick<LoadResult, "exchanges">,
  shape: Shape,
  method: Exchange["method"] = "GET",
): Summary {
  const chosen = exchanges.filter((one) => one.shape === shape && one.method === method);
  const times = chosen.map(({ took }) => took).sort((a, b) => a - b);
  const quantile = (q: number) => times[Math.max(0, Math.ceil(q * times.length) - 1)] ?? 0;
  const reasons: Record<string, number> = {};
  for (const { lost } of chosen) if (lost !== undefined) reasons[lost] = (reasons[lost] ?? 0) + 1;
  const lost = Object.values(reasons).reduce((sum, count) => sum + count, 0);
  const [p50, p99, slowest] = [0.5, 0.99, 1].map(quantile);
  return { sent: chosen.length, lost, reasons, p50, p99, slowest };
}

/** A line for people on each shape. */
export function describeLoad(result: LoadResult): string {
  const lines = SHAPES.map((shape) => {
    const { sent, lost, reasons, p50, p99, slowest } = summarize(result, shape);
    const posts = summarize(result, shape, "POST");
    const times = [p50, p99, slowest].map((time) => time.toFixed(0)).join(" / ");
    return (
      `${shape}: ${sent} sent, ${lost} lost ${lost ? JSON.stringify(reasons) : ""}, ` +
      `p50 / p99 / slowest ${times} ms; ${posts.sent} POSTs, ${posts.lost} unanswered`
    );
  });
  return [...lines, `the client itself stood still for ${result.stalled.toFixed(0)} ms`].join("\n");
}

/** The longest time in which no GET of either shape was answered, ms. */
export function longestGap({ exchanges }: Pick<LoadResult, "exchanges">): number {
  const answered = exchanges
    .filter(({ method, lost }) => method === "GET" && lost === undefined)
    .map(({ at, took }) => at + took)
    .sort((a, b) => a - b);
  return answered.reduce((gap, at, i) => Math.max(gap, at - (answered[i - 1] ?? at)), 0);
}

/** Requests at a fixed rate, from its creation until it is stopped. */
class Load {
  private readonly began = performance.now();
  private readonly clock = Date.now();
  private readonly exchanges: Exchange[] = [];
  private lastTick = this.began;
  private stalled = 0;
  private readonly due: Record<string, number> = {};
  private readonly pending = new Set<Promise<void>>();
  private readonly sent: Record<Shape, number> = { "keep-alive": 0, fresh: 0 };
  private readonly keptAlive: KeptAlive;
  private readonly fresh: Pool;
  private readonly timer: NodeJS.Timeout;

  constructor(
    port: number,
    private readonly options: LoadOptions,
  ) {
    const origin = `http://127.0.0.1:${port}`;
    this.keptAlive = new KeptAlive(origin);
    // Without pipelining there is no keep-alive: a connection ends with its answer.
    this.fresh = new Pool(origin, { ...UNTIMED, pipelining: 0, connections: null });
    this.timer = setInterval(() => this.sendDue(), TICK_MS);
  }

  /** Waits until each shape has sent so many GETs. */
  async reaches(count: number): Promise<void> {
    while (Math.min(...Object.values(this.sent)) < count && !this.isOver()) await delay(TICK_MS);
  }

  /** Sends no more and waits for what is under way. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    await Promise.all(this.pending);
    await Promise.all([this.keptAlive.close(), this.fresh.destroy()]);
  }

  result(): LoadResult {
    const exchanges = this.exchanges.sort((a, b) => a.at - b.at);
    const gets = exchanges.filter(({ method }) => method === "GET");
    const lost = gets
      .filter((one) => one.lost !== undefined)
      .map((one) => `${one.shape} at ${one.at.toFixed(0)} ms: ${one.lost}`);
    return { exchanges, began: this.clock, stalled: this.stalled, sent: gets.length, lost };
  }

  private isOver(): boolean {
    return performance.now() - this.began > MAX_MS || this.exchanges.length > MAX_REQUESTS;
  }

  /** The rate holds also when answers are late, and when this process was: then several are due. */
  private sendDue(): void {
    const now = performance.now();
    this.stalled = Math.max(this.stalled, now - this.lastTick - TICK_MS);
    this.lastTick = now;
    if (this.isOver()) return;
    const { rate = 50, postRate = 5 } = this.options;
    const seconds = (now - this.began) / 1000;
    for (const shape of SHAPES) {
      for (const [method, each] of [["GET", rate] as const, ["POST", postRate] as const]) {
        const key = `${method} ${shape}`;
        for (this.due[key] ??= 0; this.due[key] < seconds * each; this.due[key]++) {
          const sending = this.send(shape, method).finally(() => this.pending.delete(sending));
          this.pending.add(sending);
        }
      }
    }
  }

  private async send(shape: Shape, method: Exchange["method"]): Promise<void> {
    const exchange: Exchange = { shape, method, at: performance.now() - this.began, took: 0 };
    if (method === "GET") this.sent[shape]++;
    const patience = new AbortController();
    // After a look at the sockets: what came while this process stood still was in time.
    const giveUp = () => setImmediate(() => patience.abort());
    const timer = setTimeout(giveUp, LOST_AFTER_MS);
    const request: Dispatcher.RequestOptions = { method, path: "/", signal: patience.signal };
    if (method === "POST") {
      exchange.id = randomUUID();
      request.path = `/?id=${exchange.id}`;
      request.headers = { "content-type": "application/json" };
      request.body = "{}";
    }
    try {
      const client = shape === "fresh" ? this.fresh : this.keptAlive;
      const { statusCode, body } = await client.request(request);
      const text = await body.text();
      if (statusCode !== ANSWER[method]) exchange.lost = `status ${statusCode}`;
      else if (method === "GET") exchange.node = (JSON.parse(text) as { tag: string }).tag;
    } catch (error) {
      const { name, code, message } = error as Error & { code?: string };
      exchange.lost = name === "AbortError" ? "no answer within 5 s" : (code ?? message);
    }
    clearTimeout(timer);
    exchange.took = performance.now() - this.began - exchange.at;
    this.exchanges.push(exchange);
  }
}

/** undici's own time-outs, which are coarse, give way to the one of each request. */
const UNTIMED = { headersTimeout: 0, bodyTimeout: 0, connect: { timeout: LOST_AFTER_MS } };

/**
 * Connections that take turns, so that each has been idle for a while before its next request: one
 * that is always in use would never meet the end of an idle one. More are opened while all are busy.
 */
class KeptAlive {
  private readonly idle: Client[];
  private readonly all: Client[];

  constructor(private readonly origin: string) {
    this.all = Array.from({ length: KEPT_ALIVE }, () => new Client(origin, UNTIMED));
    this.idle = [...this.all];
  }

  async request(request: Dispatcher.RequestOptions): Promise<Dispatcher.ResponseData> {
    let client = this.idle.shift();
    if (client === undefined) this.all.push((client = new Client(this.origin, UNTIMED)));
    const own = client;
    try {
      const answer = await own.request(request);
      answer.body.on("close", () => this.idle.push(own));
      return answer;
    } catch (error) {
      this.idle.push(own);
      throw error;
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.all.map((client) => client.destroy()));
  }
}
