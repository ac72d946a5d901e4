/** What is remembered of what one balancer's configurator tells, as functions on plain data. */
import { isServing } from "../../configurator/protocol/control";
import type { LabEvent, Sample, Views, WatchReply } from "../../configurator/protocol/watch";

/** Over how long requests a second are counted, ms. */
export const RATE_OVER_MS = 1000;
const MAX_EVENTS = 100;
const MAX_APPLIES = 8;
const MAX_ARRIVALS = 60;

/** What comes in: the configurator's lines, and how the connection to it is. */
export type Input = WatchReply | { connected: boolean; reason: string; at: number };

/** What happened, for people. Names in it are anybody's text. */
export interface EventLine {
  id: string;
  /** Clock time, ms. */
  at: number;
  kind: "gossip" | "apply" | "note" | "health" | "connection";
  text: string;
}

/** How a node came into service: the moments of one run, clock times, ms. */
export interface Arrival {
  name: string;
  boot: string;
  /** Requests that its server had answered before. */
  before: number;
  announced: number;
  applied?: number;
  serving?: number;
  requested?: number;
}

export type Apply = LabEvent & { what: "apply" };

/** All that is remembered of one balancer; {@link advance} makes the next one. */
export interface LabState {
  connection: { isUp: boolean; reason: string; since: number };
  views?: Views;
  /** The last ones, as far back as a rate needs. */
  samples: Sample[];
  events: EventLine[];
  applies: Apply[];
  arrivals: Arrival[];
}

export const NOTHING_YET: LabState = {
  connection: { isUp: false, reason: "connecting", since: 0 },
  samples: [],
  events: [],
  applies: [],
  arrivals: [],
};

/** The state after one more line. */
export function advance(state: LabState, input: Input): LabState {
  if ("views" in input) return { ...state, views: input.views };
  if ("sample" in input) return takeSample(state, input.sample);
  if ("event" in input) return takeEvent(state, input.event);
  const { connected: isUp, reason, at } = input;
  if (isUp === state.connection.isUp && state.connection.since > 0) return state;
  const text = isUp ? "the balancer answers" : `the balancer does not answer: ${reason}`;
  return {
    ...withEvents(state, [{ id: `connection ${at}`, at, kind: "connection", text }]),
    connection: { isUp, reason, since: at },
    // What was true before is not known to be so any more.
    samples: [],
  };
}

function takeSample(state: LabState, sample: Sample): LabState {
  const before = state.samples.at(-1);
  const was = new Map(before?.servers.map((server) => [server.name, server]));
  const changes = sample.servers.flatMap((server): EventLine[] => {
    const old = was.get(server.name);
    if (before === undefined || isHealthOf(old?.status) === isHealthOf(server.status)) return [];
    const check = server.check === "" ? "" : `, last check ${server.check}`;
    const text = `${server.name} ${old ? `${old.status} → ` : ""}${server.status}${check}`;
    return [{ id: `health ${sample.at} ${server.name}`, at: sample.at, kind: "health", text }];
  });
  const servers = new Map(sample.servers.map((server) => [server.name, server]));
  const arrivals = state.arrivals.map((arrival): Arrival => {
    const server = servers.get(arrival.name);
    if (server === undefined || sample.at < arrival.announced) return arrival;
    const serving = arrival.serving ?? (isServing(server) ? sample.at : undefined);
    // Counters that begin anew begin at 0.
    const counted = server.requests - (server.requests < arrival.before ? 0 : arrival.before);
    const requested = arrival.requested ?? (counted > 0 ? sample.at : undefined);
    return { ...arrival, serving, requested };
  });
  // One sample from before the window stays, so that a rate always has its whole length.
  const first = state.samples.findLastIndex(({ at }) => at <= sample.at - RATE_OVER_MS);
  return {
    ...withEvents(state, changes),
    samples: [...state.samples.slice(Math.max(first, 0)), sample],
    arrivals,
  };
}

/** `UP 1/2` and `UP` are one health. */
const isHealthOf = (status?: string) => status?.split(" ")[0];

function takeEvent(state: LabState, event: LabEvent): LabState {
  // After a break of the connection all that is kept comes once more.
  if (state.events.some(({ id }) => id === event.id)) return state;
  const next = withEvents(state, [describeEvent(event)]);
  if (event.what === "apply") {
    const added = new Set(event.change.split(" ").filter((word) => word.startsWith("+")));
    const arrivals = state.arrivals.map((arrival) =>
      arrival.applied === undefined && added.has(`+${arrival.name}`)
        ? { ...arrival, applied: event.at }
        : arrival,
    );
    return { ...next, arrivals, applies: [event, ...state.applies].slice(0, MAX_APPLIES) };
  }
  // What was announced before anybody looked has no course that could be told.
  const isSeen = event.what === "gossip" && event.event === "announce" && state.samples.length > 0;
  if (!isSeen) return next;
  const servers = new Map(state.samples.at(-1)?.servers.map((server) => [server.name, server]));
  const fresh = event.members
    .filter(({ boot, name }) => !state.arrivals.some((it) => it.name === name && it.boot === boot))
    .map(({ name, boot }) => ({
      name,
      boot,
      before: servers.get(name)?.requests ?? 0,
      announced: event.at,
    }));
  const names = new Set(fresh.map(({ name }) => name));
  const others = state.arrivals.filter(({ name }) => !names.has(name));
  return { ...next, arrivals: [...fresh, ...others].slice(0, MAX_ARRIVALS) };
}

function describeEvent(event: LabEvent): EventLine {
  const { id, at } = event;
  if (event.what === "note") return { id, at, kind: "note", text: event.text };
  if (event.what === "apply") {
    const text = `applied by ${event.way} in ${event.ms} ms: ${event.change}`;
    return { id, at, kind: "apply", text };
  }
  const names = event.members.map(({ name }) => name).join(" ");
  return { id, at, kind: "gossip", text: `${event.event} ${names}` };
}

function withEvents(state: LabState, lines: EventLine[]): LabState {
  if (lines.length === 0) return state;
  // What the configurator kept comes after the word that it answers.
  const events = [...lines.reverse(), ...state.events].sort((a, b) => b.at - a.at);
  return { ...state, events: events.slice(0, MAX_EVENTS) };
}
