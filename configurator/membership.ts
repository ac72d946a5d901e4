import type { Member } from "./protocol/control";
import type { Declaration } from "./protocol/declaration";
import { isInNetwork } from "../config/subnet";
import { NODE_NAME, type ProxyNode, sortNodes } from "../haproxy/render";

/** What HAProxy's check, or for a server that it does not have the configurator's own, says. */
export type Health = "serving" | "down" | "unknown";

/** What the configurator remembers of nodes that it took out; survives its restart. */
export interface Departures {
  /** By name: the run of the agent that said it leaves. */
  left: Record<string, string>;
  /** By name: a run that ended in a container which has since been replaced. */
  superseded: Record<string, string>;
  /** Declared nodes that are out because they are gone. */
  absent: string[];
}

/** Everything that decides which nodes are in; see {@link decideNodes}. */
export interface Evidence {
  declaration: Pick<Declaration, "nodes" | "handMade">;
  /** Whether nodes are in by their own word alone, as on a Swarm, where none has a declared address. */
  isOpen: boolean;
  /** What the agent knows. */
  members: Member[];
  /** What members said of themselves a moment ago, which the agent may not know yet. */
  announced: Member[];
  departures: Departures;
  /** The nodes that are in now. */
  previous: ProxyNode[];
  health: (name: string) => Health;
  /** Whether a node has been down for longer than a start takes. */
  isLost: (name: string) => boolean;
  /** Whether a node has served for longer than a stop takes, since it said that it leaves. */
  stays: (name: string) => boolean;
  /** Names of the members that are balancers: this one, and the other of two. */
  balancers: string[];
}

export interface Decision {
  /** The nodes that belong into /nodes and haproxy.cfg. */
  nodes: ProxyNode[];
  departures: Departures;
  /** Why members are not taken as nodes: a line for each. */
  refused: string[];
  /** Nodes whose state may change without an event: worth another look soon. */
  unsure: string[];
}

/** What gossip says of a node. */
type GossipStatus = "alive" | "left" | "failed" | "unknown";

type Address = Pick<ProxyNode, "name" | "address">;

/** Longest name in a message: a member may call itself anything. */
const SHOWN = 80;

/** What is to be believed of gossip. */
interface Claims {
  /** Members that may be nodes, by name. */
  known: Map<string, Member>;
  /** Those of them that the agent itself knows, beside those that only announced themselves. */
  heard: Map<string, Member>;
  /** Why others may not: a line for each that lives. */
  refused: string[];
  statusOf: (name: string) => GossipStatus;
}

/**
 * Checks what members claim: the name by the rule for server names, the address by the declaration
 * or the range for nodes added by hand.
 */
function checkClaims({
  declaration,
  isOpen,
  members,
  announced,
  departures,
  balancers,
  stays,
}: Evidence): Claims {
  const { range } = declaration.handMade;
  const declared = new Map(declaration.nodes.map((node) => [node.name, node]));
  const heard = new Map<string, Member>();
  const known = new Map<string, Member>();
  const refused: string[] = [];

  function take(member: Member): boolean {
    if (balancers.includes(member.name) && member.role === "balancer") return false;
    const reason = refuse(member);
    if (reason === undefined) known.set(member.name, member);
    else if (member.status === "alive") refused.push(`${describe(member)}: ${reason}`);
    return reason === undefined;
  }

  function refuse({ name, address, role, origin }: Member): string | undefined {
    if (!NODE_NAME.test(name)) return "the name is not a host name label (a-z, 0-9, -)";
    if (role === "balancer" || balancers.includes(name)) {
      const [only, second] = balancers;
      return second
        ? `the balancers are ${only} and ${second}`
        : `the balancer is ${only}; there is one`;
    }
    if (role !== "backend") return "the role is neither balancer nor backend";
    const node = declared.get(name);
    if (node) return node.address === address ? undefined : `${name} is at ${node.address}`;
    if (origin === "pulumi" && !isOpen) return "it is not declared yet, or not any more";
    if (origin !== "pulumi" && origin !== "hand") return "the origin is neither pulumi nor hand";
    if (!isInNetwork(address, range)) return `nodes added by hand have an address in ${range}`;
    const living = statusOf(name) === "alive" ? known.get(name) : undefined;
    const isElsewhere = living && living.address !== address && !isOpen;
    return isElsewhere ? `${name} is at ${living.address}` : undefined;
  }

  function statusOf(name: string): GossipStatus {
    const member = known.get(name);
    if (member === undefined) return "unknown";
    if (hasLeft(member, departures) && !(member.status === "alive" && stays(name))) return "left";
    if (member.status === "alive") return "alive";
    if (departures.superseded[name] === member.boot) return "unknown";
    // A leave of an earlier run, heard late, shows on this one, which said none.
    if (member.status === "leaving") return "unknown";
    return member.status;
  }

  for (const member of members) {
    if (take(member)) heard.set(member.name, member);
  }
  for (const member of announced) {
    // Newer than what the agent knows of another run.
    if (heard.get(member.name)?.boot !== member.boot) take(member);
  }
  return { known, heard, refused, statusOf };
}

/**
 * The members for people. Serf may lose a leave, and then takes the end of the agent for a failure: who
 * said that it leaves has left.
 */
export function correctStatus(members: Member[], departures: Departures): Member[] {
  return members.map((member) =>
    member.status === "failed" && hasLeft(member, departures)
      ? { ...member, status: "left" }
      : member,
  );
}

const hasLeft = ({ name, boot }: Member, { left }: Departures) => left[name] === boot;

/**
 * What a health check may be asked about: the declared nodes, and those added by hand whose leave may
 * not be true. HAProxy has the others.
 */
export function checkable(
  { nodes, handMade }: Evidence["declaration"],
  members: Member[],
  departures: Departures,
): ProxyNode[] {
  const declared = new Set(nodes.map(({ name }) => name));
  const left = members.filter(
    (member) =>
      !declared.has(member.name) &&
      hasLeft(member, departures) &&
      isInNetwork(member.address, handMade.range),
  );
  return [...nodes, ...left.map(({ name, address }) => ({ name, address, port: handMade.port }))];
}

function isIn(name: string, wasIn: boolean, status: GossipStatus, evidence: Evidence): boolean {
  if (status === "alive") return true;
  if (status === "left") return false;
  const health = evidence.health(name);
  if (health === "serving") return true;
  const isGone = status === "failed" ? health === "down" : evidence.isLost(name);
  return wasIn && !isGone;
}

/**
 * The nodes added by hand that are in, one for an address: not a declared node's, else who lives
 * there by the agent's own word, which has asked it by name; else who was there before, else who
 * says it.
 */
function decideHandMade(
  evidence: Evidence,
  { known, heard, refused, statusOf }: Claims,
): ProxyNode[] {
  const { declaration, previous } = evidence;
  const { range, port } = declaration.handMade;
  const before = new Map(previous.map(({ name, address }) => [name, address]));
  const wasAt = ({ name, address }: Address) => before.get(name) === address;
  const livesAt = ({ name, address }: Address) =>
    statusOf(name) === "alive" &&
    heard.get(name)?.status === "alive" &&
    heard.get(name)?.address === address;
  const claimOf = (node: Address) => (livesAt(node) ? 2 : 0) + (wasAt(node) ? 1 : 0);

  const declared = new Set(declaration.nodes.map(({ name }) => name));
  const holders = new Map(declaration.nodes.map(({ name, address }) => [address, name]));
  const unheard = previous.filter(
    ({ name, address }) => !known.has(name) && isInNetwork(address, range),
  );
  const placed = [...known.values()].flatMap((member) => {
    if (!evidence.isOpen || statusOf(member.name) !== "failed") return [member];
    // On a Swarm gossip may still have an earlier place of one that died there: it stays where it is,
    // and one that is out comes back by its own word.
    const last = before.get(member.name);
    return last !== undefined && isInNetwork(last, range) ? [{ ...member, address: last }] : [];
  });
  const candidates = sortNodes<Address>([...placed, ...unheard])
    .filter(({ name }) => !declared.has(name))
    .filter((node) => isIn(node.name, wasAt(node), statusOf(node.name), evidence))
    .sort((a, b) => claimOf(b) - claimOf(a));
  return candidates.flatMap((node) => {
    const { name, address } = node;
    const holder = holders.get(address);
    if (holder !== undefined) {
      refused.push(`${describe(node)}: ${holder} has this address`);
      return [];
    }
    holders.set(address, name);
    return [{ name, address, port }];
  });
}

/**
 * Decides which nodes are in. A node is in while gossip says that it lives, or its application
 * answers; a node that left is out, unless it lives and serves on for longer than a stop
 * takes: then somebody else said it. So the loss of gossip takes no node that serves away,
 * and only a failure that the health check confirms counts.
 *
 * A declared node is in from its declaration on, before it has started. A node added by hand is in
 * once gossip says that it lives.
 */
export function decideNodes(evidence: Evidence): Decision {
  const { declaration, members, departures } = evidence;
  const claims = checkClaims(evidence);
  const { known, refused, statusOf } = claims;
  const wasAbsent = new Set(departures.absent);
  const fromDeclaration = declaration.nodes.filter(({ name }) =>
    isIn(name, !wasAbsent.has(name), statusOf(name), evidence),
  );
  const nodes = sortNodes([...fromDeclaration, ...decideHandMade(evidence, claims)]);

  const names = new Set(nodes.map(({ name }) => name));
  const absent = declaration.nodes.map(({ name }) => name).filter((name) => !names.has(name));
  const keepKnown = (boots: Record<string, string>) =>
    // The agent knows itself at least: nobody means that it does not answer.
    members.length === 0
      ? boots
      : Object.fromEntries(Object.entries(boots).filter(([name]) => known.has(name)));
  const leavers = [...known.values()].filter((member) => hasLeft(member, departures));
  const stayed = leavers.filter(({ name }) => statusOf(name) === "alive").map(({ name }) => name);
  const doubted = leavers.filter(
    ({ name, status }) => status === "alive" && statusOf(name) === "left",
  );
  return {
    nodes,
    departures: {
      left: without(keepKnown(departures.left), stayed),
      superseded: keepKnown(departures.superseded),
      absent,
    },
    refused,
    unsure: [
      ...[...names, ...absent].filter((name) => ["failed", "unknown"].includes(statusOf(name))),
      ...doubted.map(({ name }) => name),
    ],
  };
}

const without = (boots: Record<string, string>, names: string[]) =>
  Object.fromEntries(Object.entries(boots).filter(([name]) => !names.includes(name)));

function describe({ name, address }: Address): string {
  const shown = JSON.stringify(name.slice(0, SHOWN));
  const where = JSON.stringify(address.slice(0, SHOWN)).slice(1, -1);
  return `member ${shown}${name.length > SHOWN ? "…" : ""} at ${where}`;
}
