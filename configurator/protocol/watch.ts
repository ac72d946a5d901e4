import type { ClusterView, ServerStatus } from "./control";

/** A line of the stream that `watch` asks for: what is there first, then what changes. */
export type WatchReply = { views: Views } | { event: LabEvent } | { sample: Sample };

/** What the parts of the balancer say of the nodes, without HAProxy, whose word is in each sample. */
export type Views = Omit<ClusterView, "servers" | "runtime">;

/** HAProxy's counters at one moment. */
export interface Sample {
  /** Clock time, ms. */
  at: number;
  /** What clients ask for; absent while HAProxy does not run, and then there are no servers. */
  frontend?: Counters;
  servers: (ServerStatus & Counters)[];
}

/** All but `sessions` only grow; they begin again at 0 where HAProxy lost them. */
export interface Counters {
  /** Requests under way. */
  sessions: number;
  requests: number;
  /** Answers with a status of 500 or more, and for a server connections that failed. */
  errors: number;
}

/** How a text became the running configuration. */
export type ApplyMethod = "Runtime API" | "reload" | "start";

/** Something that happened; no two have the same id. */
export type LabEvent = { id: string; at: number } & Happening;

export type Happening =
  /** What the gossip agent heard. Names are anybody's text, cut to 80 characters. */
  | { what: "gossip"; event: string; members: { name: string; boot: string }[] }
  | { what: "apply"; way: ApplyMethod; ms: number; reason: string; change: string; diff: string[] }
  /** A line of the configurator's for people: a push, a refusal, a failure. */
  | { what: "note"; text: string };
