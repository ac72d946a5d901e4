/** What `npm run status` makes of the lab's different views, as functions on plain data. */
import type { ClusterView, Member, ServerStatus } from "../configurator/protocol/control";
import { NODE_NAME, sortNodes, type ProxyNode } from "../haproxy/render";
import type { LabContainer } from "../state/inventory";

export interface Comparison {
  header: string[];
  /** A row of cells for each node. */
  rows: string[][];
  /** A sentence for each disagreement. */
  disagreements: string[];
}

/** What is known of one node. */
interface Known {
  name: string;
  declared?: ProxyNode;
  member?: Member;
  node?: ProxyNode;
  server?: ServerStatus;
  line?: ProxyNode;
  container?: LabContainer;
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

/** Compares what is declared, gossip, /nodes, haproxy.cfg, HAProxy and the engine say of each node. */
export function compareViews(cluster: ClusterView, containers: LabContainer[]): Comparison {
  const known = gather(cluster, containers).map((it) => ({ it, views: viewsOf(it, cluster) }));
  const present = known.filter(
    ({ it, views }) => views.some(({ isIn }) => isIn) || it.container || it.server,
  );
  return {
    header: HEADER,
    rows: present.map(({ it, views }) => describeRow(it, views, cluster)),
    disagreements: [
      ...(cluster.members ? [] : ["The balancer's gossip agent does not answer."]),
      ...(cluster.servers ? [] : ["HAProxy does not run."]),
      ...(cluster.runtime ?? []).map(
        (line) => `HAProxy, ${line}; npx pulumi up --refresh undoes it.`,
      ),
      ...present.flatMap(({ it, views }) => [
        ...judgePresence(it.name, views),
        ...judgePlaces(it.name, views),
      ]),
    ],
  };
}

function gather(cluster: ClusterView, containers: LabContainer[]): Known[] {
  const { declared, members = [], nodes, file, servers = [] } = cluster;
  const backends = containers.filter(({ role }) => role === "backend");
  const others = members.filter(({ role }) => role !== "balancer");
  const all = [declared, others, nodes, file, servers, backends].flat().map(({ name }) => name);
  const find = <T extends { name: string }>(list: T[], name: string) =>
    list.find((it) => it.name === name);
  return sortNodes(
    [...new Set(all)].map((name) => ({
      name: showName(name),
      declared: find(declared, name),
      member: find(others, name),
      node: find(nodes, name),
      line: find(file, name),
      server: find(servers, name),
      container: find(backends, name),
    })),
  );
}

/** A member calls itself what it likes: what is no name is quoted, so that it can't draw on a terminal. */
function showName(name: string): string {
  return NODE_NAME.test(name) ? name : JSON.stringify(name.slice(0, 80)).replace(/[^ -~]/g, "?");
}

function viewsOf(known: Known, { members, servers }: ClusterView): View[] {
  const { declared, container, member, node, line, server } = known;
  const views: (View | undefined)[] = [
    isByHand(known)
      ? undefined
      : {
          what: "the declaration",
          isIn: declared !== undefined,
          words: declared ? "declared" : "not declared",
          place: declared,
        },
    viewContainer(container),
    members && {
      what: "gossip",
      isIn: member?.status === "alive",
      words: member ? `${member.status} in gossip` : "unknown to gossip",
      place: member?.status === "alive" ? { address: member.address } : undefined,
    },
    viewEntry("/nodes", node),
    viewEntry("haproxy.cfg", line),
    servers && {
      what: "HAProxy",
      isIn: server?.status.startsWith("UP") ?? false,
      words: server
        ? `${server.status} in HAProxy${server.check ? ` (last check ${server.check})` : ""}`
        : "not in HAProxy",
      place: server,
    },
  ];
  return views.filter((view) => view !== undefined);
}

/** A node that nobody declared and that says, or whose container says, that a person made it. */
function isByHand({ declared, container, member }: Known): boolean {
  return declared === undefined && (container?.origin ?? member?.origin) === "hand";
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

function describeRow(known: Known, views: View[], { members, servers }: ClusterView): string[] {
  const { declared, container, member, node, line, server } = known;
  const yes = (entry: unknown) => (entry ? "yes" : NOTHING);
  return [
    known.name,
    views.find(({ place }) => place)?.place?.address ?? (container?.address || NOTHING),
    isByHand(known) ? "by hand" : yes(declared),
    members ? (member?.status ?? NOTHING) : "?",
    yes(node),
    yes(line),
    servers ? (server?.status ?? NOTHING) : "?",
    server?.check || NOTHING,
    container?.state ?? NOTHING,
  ];
}
