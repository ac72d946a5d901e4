import type { Declaration } from "./declaration";
import type { ProxyNode } from "../../haproxy/render";

/**
 * What the lab provider and the tools say to the configurator in `ha`, over the standard input and
 * output of `configurator call`: one JSON object in, JSON objects out, one a line.
 */
export type ControlRequest =
  | { do: "status" }
  | { do: "cluster" }
  /** On a Swarm: what every balancer runs on, by gossip. */
  | { do: "balancers" }
  | AwaitServingRequest
  | PushRequest
  /** Answered by a stream of `WatchReply`, which ends when the asker's side ends. */
  | { do: "watch" };

/** Template and settings that are declared and not yet pushed. Nodes may need them to serve. */
export type ProxyToCome = Pick<Declaration, "template" | "settings">;

export interface AwaitServingRequest {
  do: "awaitServing";
  /** Names of nodes in new containers. */
  names: string[];
  /** What comes to be pushed when all nodes serve; absent for a balancer that is not declared. */
  proxy?: ProxyToCome;
  /** Longest wait, ms. */
  deadlineMs: number;
}

export interface PushRequest {
  do: "push";
  declaration: Declaration;
  /** Container id of each declared node: what was known of another container no longer counts. */
  containers: Record<string, string>;
  /** bcrypt hash of the statistics' password; absent when they ask for none. */
  statsPasswordHash?: string;
  /** Longest wait until every declared node serves, ms. */
  deadlineMs: number;
}

/** Any number of progress lines, with the names of the nodes that do not serve, then one of the others. */
export type ControlReply =
  | { progress: string; waitingFor: string[] }
  | { done: true; status?: ConfigStatus; cluster?: ClusterView; balancers?: BalancerView[] }
  | { error: string };

/** What the balancer runs on against what it should. */
export interface ConfigStatus {
  /** Text of the declared nodes that are in, rendered in `ha`; absent before the first push. */
  declared?: string;
  /** Text that the configurator makes of the nodes it knows; absent before the first push. */
  expected?: string;
  /** Text of the file on disk, if there is one. */
  live?: string;
  /**
   * A line for each way in which the process or the declaration is not as it was pushed; absent from a
   * balancer that is older than this.
   */
  runtime?: string[];
}

/** The same nodes as each part of the balancer sees them. */
export interface ClusterView {
  declared: ProxyNode[];
  /** What gossip knows; absent when the agent does not answer. */
  members?: Member[];
  /** The folder /nodes. */
  nodes: ProxyNode[];
  /** The server lines of haproxy.cfg on disk. */
  file: ProxyNode[];
  /** HAProxy's own list; absent when it does not run. */
  servers?: ServerStatus[];
  /** What HAProxy has otherwise than haproxy.cfg says, a line each; absent as in the status. */
  runtime?: string[];
}

/** What a balancer of a Swarm runs on. */
export interface BalancerView {
  /** Its agent's. */
  name: string;
  /** A digest of which servers serve at which address. */
  serving: string;
  /** Which do not, for people. */
  waiting: string;
}

/** A member of the gossip cluster, as it says of itself. */
export interface Member {
  name: string;
  address: string;
  status: "alive" | "leaving" | "left" | "failed";
  /** `balancer` or `backend` */
  role: string;
  /** `pulumi` or `hand` */
  origin: string;
  /** Names one run of the agent. */
  boot: string;
}

/** One server of the backend as the running worker sees it. */
export interface ServerStatus extends ProxyNode {
  /** HAProxy's word for it: UP, DOWN, `UP 1/2`, MAINT, … */
  status: string;
  /** Result of the last health check, L7OK when it passed; INI or empty before the first. */
  check: string;
  /** Status of the HTTP answer to it; empty or absent when there was none. */
  checkStatus?: string;
  /** HAProxy's or the system's words about it, such as `Connection refused`. */
  checkDetail?: string;
  /** Whether another check is under way. */
  checking: boolean;
}

/** Whether HAProxy's last check has passed and the server gets requests. */
export function isServing({ check, status }: ServerStatus): boolean {
  return check === "L7OK" && status === "UP";
}

/**
 * The last health check in words, with HAProxy's code for it in brackets.
 *
 * @param path what the check asks for
 */
export function describeCheck(
  { address, check, checkDetail, checkStatus, port }: ServerStatus,
  path: string,
): string {
  const get = `GET ${path}`;
  const place = `${address}:${port}`;
  const isRefused = checkDetail?.startsWith("Connection refused");
  const words: Record<string, string> = {
    L4CON: isRefused ? `${place} refused the connection` : `no connection to ${place}`,
    L4TOUT: `no connection to ${place} in time`,
    L7OK: `${get} answered ${checkStatus}`,
    L7RSP: `${get} got no HTTP answer`,
    L7STS: `${get} answered ${checkStatus}`,
    L7TOUT: `${get} not answered in time`,
  };
  if (check === "" || check === "INI") return "not checked yet";
  return `${words[check] ?? "last check"} [${check}]`;
}
