/** What `npm run status` makes of the lab's different views, as functions on plain data. */
import type {
  BalancerView,
  ClusterView,
  Member,
  ServerStatus,
} from "../configurator/protocol/control";
import { compareBalancers } from "../configurator/views";
import { NODE_NAME, sortNodes, type ProxyNode } from "../haproxy/render";
import type { LabContainer } from "../state/inventory";

export interface Comparison {
  header: string[];
  /** A row of cells for each node. */
  rows: string[][];
  /** A sentence for each disagreement. */
  disagreements: string[];
}

/** What each balancer says, by its name. */
export type Clusters = Record<string, ClusterView>;

/** What is known of one node. */
interface Known {
  name: string;
  container?: LabContainer;
  /** What each balancer knows of it. */
  seen: Seen[];
}

interface Seen {
  /** Ends a phrase: where there are two balancers, which one it is of. */
  of: string;
  cluster: ClusterView;
  declared?: ProxyNode;
  member?: Member;
  node?: ProxyNode;
  server?: ServerStatus;
  line?: ProxyNode;
}

/** One part's word on a node: whether it is there, in words, and at which address. */
interface View {
  what: string;
  isIn: boolean;
  words: string;
  place?: { address: string; port?: number };
}

const HEADER = [
  "node",
  "address",
  "declared",
  "gossip",
  "/nodes",
  "cfg",
  "HAProxy",
  "check",
  "container",
];
const NOTHING = "-";

/**
 * A sentence for each balancer of a Swarm that does not serve as the one on the engine that is asked.
 *
 * @param views what each says, as far as they answer
 */
export function judgeBalancers(containers: LabContainer[], views: BalancerView[]): string[] {
  const balancers = containers.filter(({ role, engine }) => role === "balancer" && engine);
  const [running, others] = [true, false].map((isRunning) =>
    balancers.filter(({ state }) => (state === "running") === isRunning),
  );
  const here = running.find(({ isElsewhere }) => !isElsewhere)?.name;
  const names = running.map(({ name }) => name);
  return [
    ...others.map(({ name, state }) => `The balancer ${name} does not run: its task is ${state}.`),
    ...compareBalancers(names, here, views).map(({ name, waiting }) =>
      waiting === undefined
        ? `The balancer ${name} does not answer.`
        : `The balancer ${name} does not serve as ${here}: ${waiting || "another text"}.`,
    ),
  ];
}

/** Compares what is declared, gossip, /nodes, haproxy.cfg, HAProxy and the engine say of each node. */
export function compareViews(clusters: Clusters, containers: LabContainer[]): Comparison {
  const known = gather(clusters, containers).map((it) => ({ it, views: viewsOf(it) }));
  const onSwarm = containers.some(({ engine }) => engine !== undefined);
  const present = known.filter(
    ({ it, views }) =>
      views.some(({ isIn }) => isIn) || it.container || it.seen.some(({ server }) => server),
  );
  return {
    header: onSwarm ? [...HEADER, "engine"] : HEADER,
    rows: present.map(({ it, views }) => [
      ...describeRow(it, views),
      ...(onSwarm ? [it.container?.engine ?? NOTHING] : []),
    ]),
    disagreements: [
      ...containers
        .filter(({ role, name, engine }) => role === "balancer" && !engine && !(name in clusters))
        .map(({ name, state }) => `The balancer ${name} does not run: its container is ${state}.`),
      ...Object.entries(clusters).flatMap(([name, { members, servers, runtime = [] }]) => {
        const ofIt = nameOf(name, clusters);
        return [
          ...(members ? [] : [`The balancer${ofIt && ` ${name}`}'s gossip agent does not answer.`]),
          ...(servers ? [] : [`HAProxy${ofIt} does not run.`]),
          ...runtime.map((line) => `HAProxy${ofIt}, ${line}; npx pulumi up --refresh undoes it.`),
        ];
      }),
      ...present.flatMap(({ it, views }) => [
        ...judgePresence(it.name, views),
        ...judgePlaces(it.name, views),
      ]),
    ],
  };
}

/** One balancer needs no name. */
const nameOf = (name: string, clusters: Clusters) =>
  Object.keys(clusters).length > 1 ? ` of ${name}` : "";

function gather(clusters: Clusters, containers: LabContainer[]): Known[] {
  const nodes = containers.filter(({ role }) => role === "backend");
  const all = Object.values(clusters).flatMap((cluster) => [
    ...[cluster.declared, othersOf(cluster), cluster.nodes, cluster.file, cluster.servers ?? []],
  ]);
  const names = [...all, nodes].flat().map(({ name }) => name);
  const find = <T extends { name: string }>(list: T[], name: string) =>
    list.find((it) => it.name === name);
  return sortNodes(
    [...new Set(names)].map((name) => ({
      name: showName(name),
      container: find(nodes, name),
      seen: Object.entries(clusters).map(([balancer, cluster]) => ({
        of: nameOf(balancer, clusters),
        cluster,
        declared: find(cluster.declared, name),
        member: find(othersOf(cluster), name),
        node: find(cluster.nodes, name),
        line: find(cluster.file, name),
        server: find(cluster.servers ?? [], name),
      })),
    })),
  );
}

const othersOf = ({ members = [] }: ClusterView) =>
  members.filter(({ role }) => role !== "balancer");

/** A member calls itself what it likes: what is no name is quoted, so that it can't draw on a terminal. */
function showName(name: string): string {
  return NODE_NAME.test(name) ? name : JSON.stringify(name.slice(0, 80)).replace(/[^ -~]/g, "?");
}

function viewsOf(known: Known): View[] {
  const byHand = isByHand(known);
  const views = known.seen.map((seen) => viewsOfBalancer(seen, byHand));
  // The container between what is declared and what follows from it.
  const [declared, others] = [
    views.flatMap((it) => it.slice(0, 1)),
    views.map((it) => it.slice(1)),
  ];
  return [...declared, viewContainer(known.container), ...others.flat()].filter(
    (view) => view !== undefined,
  );
}

/** What is declared, then what gossip, /nodes, haproxy.cfg and HAProxy say. */
function viewsOfBalancer(seen: Seen, byHand: boolean): (View | undefined)[] {
  const { of, cluster, declared, member, node, line, server } = seen;
  return [
    byHand
      ? undefined
      : {
          what: `the declaration${of}`,
          isIn: declared !== undefined,
          words: `${declared ? "declared" : "not declared"}${of.replace("of", "to")}`,
          place: declared,
        },
    cluster.members && {
      what: `gossip${of}`,
      isIn: member?.status === "alive",
      words: member ? `${member.status} in gossip${of}` : `unknown to gossip${of}`,
      place: member?.status === "alive" ? { address: member.address } : undefined,
    },
    viewEntry(`/nodes${of}`, node),
    viewEntry(`haproxy.cfg${of}`, line),
    cluster.servers && {
      what: `HAProxy${of}`,
      isIn: server?.status.startsWith("UP") ?? false,
      words: server
        ? `${server.status} in HAProxy${of}${server.check ? ` (last check ${server.check})` : ""}`
        : `not in HAProxy${of}`,
      place: server,
    },
  ];
}

/** A node that nobody declared and that says, or whose container says, that a person made it. */
function isByHand({ container, seen }: Known): boolean {
  return (
    seen.every(({ declared }) => declared === undefined) &&
    (container?.origin ?? seen.find(({ member }) => member)?.member?.origin) === "hand"
  );
}

function viewEntry(what: string, entry: ProxyNode | undefined): View {
  return {
    what,
    isIn: entry !== undefined,
    words: entry ? `in ${what}` : `not in ${what}`,
    place: entry,
  };
}

/** A paused container is one that should serve: nobody has stopped it. */
function viewContainer(container: LabContainer | undefined): View {
  const isIn = container !== undefined && !["created", "exited", "dead"].includes(container.state);
  return {
    what: "its container",
    isIn,
    words: container ? `its container ${container.state}` : "without a container",
    place: isIn && container.address !== "" ? { address: container.address } : undefined,
  };
}

function judgePresence(name: string, views: View[]): string[] {
  const wordsOf = (isIn: boolean) =>
    views
      .filter((view) => view.isIn === isIn)
      .map(({ words }) => words)
      .join(", ");
  const [yes, no] = [wordsOf(true), wordsOf(false)];
  return yes && no ? [`${name}: ${yes}; but ${no}.`] : [];
}

function judgePlaces(name: string, views: View[]): string[] {
  const placed = views.flatMap(({ what, place }) => (place ? [{ what, ...place }] : []));
  const [first, ...others] = placed;
  const port = placed.find((it) => it.port !== undefined)?.port;
  return others
    .filter((it) => it.address !== first.address || (it.port ?? port) !== port)
    .map(
      (it) =>
        `${name}: ${first.what} has ${formatPlace({ ...first, port })}; but ${it.what} has ` +
        `${formatPlace(it)}.`,
    );
}

function formatPlace({ address, port }: { address: string; port?: number }): string {
  return port === undefined ? address : `${address}:${port}`;
}

function describeRow(known: Known, views: View[]): string[] {
  const { container, seen } = known;
  const yes = (entry: unknown) => (entry ? "yes" : NOTHING);
  /** One word where the balancers say the same, else each one's. */
  const each = (word: (seen: Seen) => string) => {
    const words = seen.map(word);
    return new Set(words).size === 1 ? words[0] : words.join(" / ");
  };
  return [
    known.name,
    views.find(({ place }) => place)?.place?.address ?? (container?.address || NOTHING),
    isByHand(known) ? "by hand" : each(({ declared }) => yes(declared)),
    each(({ cluster, member }) => (cluster.members ? (member?.status ?? NOTHING) : "?")),
    each(({ node }) => yes(node)),
    each(({ line }) => yes(line)),
    each(({ cluster, server }) => (cluster.servers ? (server?.status ?? NOTHING) : "?")),
    each(({ server }) => server?.check || NOTHING),
    container?.state ?? NOTHING,
  ];
}
