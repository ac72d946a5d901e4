/** What the page and the terminal show of one lab, from what each of its balancers told. */
import type { Member } from "../../configurator/protocol/control";
import type { Counters, Sample } from "../../configurator/protocol/watch";
import { sortNodes } from "../../haproxy/render";
import { hueOf } from "../../images/webapp/src/page";
import { type Apply, type Arrival, type EventLine, type LabState, RATE_OVER_MS } from "./model";

/** How long HAProxy may not answer before it counts as down: a reload is no outage. */
const SILENT_MS = 1000;
/** How many events are shown of those that are remembered. */
const SHOWN_EVENTS = 40;
/** Within this time two balancers tell of the same thing. */
const SAME_WITHIN_MS = 3000;

/** What is remembered of each balancer, by its name. */
export type LabStates = Record<string, LabState>;

/** What one line of the picture carries. */
export interface Flow {
  /** Requests a second. */
  rate: number;
  /** Errors a second. */
  errorRate: number;
  /** Requests under way. */
  sessions: number;
  requests: number;
}

export interface BalancerView extends Flow {
  name: string;
  connection: LabState["connection"];
  health: "up" | "down";
}

/** Where two balancers differ, a word is both of theirs, as in `UP / DOWN`. */
export interface NodeView extends Flow {
  name: string;
  /** Hue of its colour, which its own page has too. */
  hue: number;
  address: string;
  origin: "declared" | "by hand";
  /** Serf's word, `-` when it does not know the node. */
  gossip: Member["status"] | "-" | `${string} / ${string}`;
  /** HAProxy's words, `-` when it has no such server. */
  status: string;
  check: string;
  health: Health | "partly";
}

type Health = "up" | "down" | "maintenance" | "out";

/** All that is shown; plain data, made anew at each change. */
export interface LabView {
  stack: string;
  /** Clock time, ms. */
  at: number;
  balancers: BalancerView[];
  nodes: NodeView[];
  events: EventLine[];
  applies: (Pick<Apply, "id" | "at" | "way" | "ms" | "reason" | "change" | "diff"> & {
    balancer: string;
  })[];
  /** Times since the announcement, ms, the newest node first. */
  arrivals: {
    name: string;
    hue: number;
    at: number;
    applied?: number;
    serving?: number;
    requested?: number;
  }[];
}

/** The picture of a lab. Traffic is that of all its balancers; a node serves when it does in each. */
export function viewOf(stack: string, states: LabStates): LabView {
  const all = Object.entries(states);
  const connected = all.filter(([, { connection }]) => connection.isUp);
  // One that does not answer has no word on the nodes, unless there is no other.
  const heard = (connected.length > 0 ? connected : all).map(([, state]) => state);
  return {
    stack,
    at: Math.max(
      0,
      ...all.map(([, { samples, connection }]) => samples.at(-1)?.at ?? connection.since),
    ),
    balancers: all.map(describeBalancer),
    nodes: joinNodes(heard.map(describeNodes)),
    events: joinEvents(states).slice(0, SHOWN_EVENTS),
    applies: all
      .flatMap(([balancer, { applies }]) => applies.map((apply) => ({ ...apply, balancer })))
      .sort((a, b) => b.at - a.at)
      .map(({ id, balancer, at, way, ms, reason, change, diff }) => {
        return { id, balancer, at, way, ms, reason, change, diff };
      }),
    arrivals: joinArrivals(heard.map(({ arrivals }) => arrivals)),
  };
}

function describeBalancer([name, { connection, samples }]: [string, LabState]): BalancerView {
  const last = samples.at(-1);
  const isUp = samples.some(
    ({ at, frontend }) => frontend !== undefined && at > last!.at - SILENT_MS,
  );
  const flow = flowOf(samples, ({ frontend }) => frontend);
  return { name, connection, ...flow, health: isUp ? "up" : "down" };
}

function describeNodes({ views, samples }: LabState): NodeView[] {
  const { declared = [], members = [], nodes = [], file = [] } = views ?? {};
  // A reload takes HAProxy's word away for a moment.
  const servers = samples.findLast(({ frontend }) => frontend)?.servers ?? [];
  const present = members.filter(({ role, status }) => role !== "balancer" && status !== "left");
  const all = [declared, nodes, file, servers, present].flat();
  const names = [...new Set(all.map(({ name }) => name))];
  return names.map((name): NodeView => {
    const server = servers.find((it) => it.name === name);
    const member = members.find((it) => it.name === name);
    // On a Swarm nobody tells the balancers which are declared.
    const isDeclared = declared.some((it) => it.name === name) || member?.origin === "pulumi";
    return {
      name,
      hue: hueOf(name),
      address: all.find((it) => it.name === name)!.address,
      origin: isDeclared ? "declared" : "by hand",
      gossip: member?.status ?? "-",
      status: server?.status ?? "-",
      check: server?.check ?? "",
      health: healthOf(server?.status),
      ...flowOf(samples, (sample) => sample.servers.find((it) => it.name === name)),
    };
  });
}

function healthOf(status = ""): Health {
  if (status.startsWith("UP")) return "up";
  if (status.startsWith("DOWN")) return "down";
  return status === "" ? "out" : "maintenance";
}

/** Rates from counters that only grow, or begin again at 0. */
function flowOf(samples: Sample[], counters: (sample: Sample) => Counters | undefined): Flow {
  const counted = samples.flatMap((sample) => {
    const found = counters(sample);
    return found ? [{ at: sample.at, ...found }] : [];
  });
  const [first, last] = [counted[0], counted.at(-1)];
  if (first === undefined || last === undefined) {
    return { rate: 0, errorRate: 0, sessions: 0, requests: 0 };
  }
  const grown = (key: "requests" | "errors") =>
    counted.reduce((sum, now, i) => {
      const was = counted[i - 1]?.[key] ?? now[key];
      return sum + (now[key] < was ? now[key] : now[key] - was);
    }, 0);
  const seconds = Math.max(last.at - first.at, RATE_OVER_MS) / 1000;
  return {
    rate: grown("requests") / seconds,
    errorRate: grown("errors") / seconds,
    sessions: last.sessions,
    requests: last.requests,
  };
}

/** @param all what each balancer knows of the nodes */
function joinNodes(all: NodeView[][]): NodeView[] {
  const names = [...new Set(all.flat().map(({ name }) => name))];
  return sortNodes(
    names.map((name): NodeView => {
      const known = all.flatMap((nodes) => nodes.filter((node) => node.name === name));
      const word = <K extends "gossip" | "status" | "check">(key: K, none: NodeView[K]) => {
        const words = all.map((nodes) => nodes.find((it) => it.name === name)?.[key] ?? none);
        return (new Set(words).size === 1 ? words[0] : words.join(" / ")) as NodeView[K];
      };
      const healths = new Set(known.map(({ health }) => health));
      if (known.length < all.length) healths.add("out");
      const isPartly = healths.size > 1 && healths.has("up");
      return {
        ...known[0],
        origin: known.some(({ origin }) => origin === "declared") ? "declared" : "by hand",
        gossip: word("gossip", "-"),
        status: word("status", "-"),
        check: word("check", ""),
        health: isPartly ? "partly" : [...healths][0],
        ...sumFlows(known),
      };
    }),
  );
}

function sumFlows(flows: Flow[]): Flow {
  const sum = (key: keyof Flow) => flows.reduce((total, flow) => total + flow[key], 0);
  return {
    rate: sum("rate"),
    errorRate: sum("errorRate"),
    sessions: sum("sessions"),
    requests: sum("requests"),
  };
}

/** What both balancers tell is one event; what one of two tells has its name. */
function joinEvents(states: LabStates): EventLine[] {
  const told: { line: EventLine; balancers: string[] }[] = [];
  const count = Object.keys(states).length;
  for (const [balancer, { events }] of Object.entries(states)) {
    for (const line of events) {
      const same = told.find(
        (it) =>
          it.line.kind === line.kind &&
          it.line.text === line.text &&
          Math.abs(it.line.at - line.at) <= SAME_WITHIN_MS &&
          !it.balancers.includes(balancer),
      );
      if (same) same.balancers.push(balancer);
      else told.push({ line, balancers: [balancer] });
    }
  }
  return told
    .map(({ line, balancers }) =>
      balancers.length === count ? line : { ...line, text: `${balancers[0]}: ${line.text}` },
    )
    .sort((a, b) => b.at - a.at);
}

/** A node has arrived where the last balancer has it, and with the first request that any sends it. */
function joinArrivals(all: Arrival[][]): LabView["arrivals"] {
  const keyOf = ({ name, boot }: Arrival) => JSON.stringify([name, boot]);
  const keys = [...new Set(all.flat().map(keyOf))];
  return keys
    .map((key) => {
      const run = all.flatMap((arrivals) => arrivals.filter((it) => keyOf(it) === key));
      const at = Math.min(...run.map(({ announced }) => announced));
      const isWhole = run.length === all.length;
      const since = (moment?: number) => moment && Math.max(0, moment - at);
      const last = (moments: (number | undefined)[]) =>
        isWhole && moments.every((moment) => moment !== undefined)
          ? Math.max(...moments)
          : undefined;
      const requested = run.flatMap((it) => it.requested ?? []);
      return {
        name: run[0].name,
        hue: hueOf(run[0].name),
        at,
        applied: since(last(run.map(({ applied }) => applied))),
        serving: since(last(run.map(({ serving }) => serving))),
        requested: requested.length > 0 ? since(Math.min(...requested)) : undefined,
      };
    })
    .sort((a, b) => b.at - a.at);
}
