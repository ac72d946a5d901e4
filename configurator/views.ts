/** What a balancer tells the others of what it runs on, in the few bytes that Serf's answer may have. */
import { createHash } from "node:crypto";
import { type BalancerView, type ClusterView, isServing } from "./protocol/control";
import { listPlaces } from "./servers";

/** Serf's bound of an answer is 1024 bytes, with what Serf itself puts into it. */
const MOST_CHARACTERS = 700;

/**
 * A digest of haproxy.cfg and of the servers that serve, with their addresses, and the others by name
 * with HAProxy's word.
 *
 * @returns a line
 */
export function describeView(
  { servers = [], file }: Pick<ClusterView, "servers" | "file">,
  text: string,
): string {
  const serving = listPlaces(servers.filter(isServing));
  const wanted = new Set(file.map(({ name }) => name));
  const others = servers
    .filter((server) => wanted.has(server.name) && !isServing(server))
    .map(({ name, status }) => `${name} is ${status}`);
  const digest = createHash("sha256").update(`${text}\n${serving}`).digest("hex").slice(0, 12);
  return `${digest} ${others.join(", ")}`.slice(0, MOST_CHARACTERS).trim();
}

/** A balancer that does not serve as another one does. */
export interface Difference {
  name: string;
  /** Why not, as far as it says; undefined where it does not answer. */
  waiting?: string;
}

/**
 * Which balancers do not serve as one of them does.
 *
 * @param names of all of them
 * @param own of the one to compare with
 * @param views what each says, as far as they answer
 */
export function compareBalancers(
  names: readonly string[],
  own: string | undefined,
  views: readonly BalancerView[],
): Difference[] {
  const view = (of: string | undefined) => views.find(({ name }) => name === of);
  return names.flatMap((name): Difference[] => {
    const its = view(name);
    if (its === undefined) return [{ name }];
    return its.serving === view(own)?.serving ? [] : [{ name, waiting: its.waiting }];
  });
}

/** Takes the answers apart. @param answers by the balancer's name */
export function parseViews(answers: Record<string, string>): BalancerView[] {
  return Object.entries(answers).map(([name, line]) => {
    const [serving, ...waiting] = line.trim().split(" ");
    return { name, serving, waiting: waiting.join(" ") };
  });
}
