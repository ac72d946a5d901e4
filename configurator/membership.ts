import type { Member } from "./protocol/control";
import type { Declaration } from "./protocol/declaration";
import { isInNetwork } from "../config/subnet";
import { NODE_NAME, type ProxyNode, sortNodes } from "../haproxy/render";

/** What HAProxy's check, or for a server that it does not have the configurator's own, says. */
export type Health = "serving" | "down" | "unknown";

/** What the configurator remembers of nodes that it took out; survives its restart. */
export interface Memory {
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
  /** What the agent knows. */
  members: Member[];
  /** What members said of themselves a moment ago, which the agent may not know yet. */
  announced: Member[];
  memory: Memory;
  /** The nodes that are in now. */
  previous: ProxyNode[];
  health: (name: string) => Health;
  /** Whether a node has been down for longer than a start takes. */
  isLost: (name: string) => boolean;
  /** Whether a node has served for longer than a stop takes, since it said that it leaves. */
  stays: (name: string) => boolean;
  /** Name of the member that this balancer is itself. */
  self: string;
}

export interface Decision {
  /** The nodes that belong into /nodes and haproxy.cfg. */
  nodes: ProxyNode[];
  memory: Memory;
  /** Why members are not taken as nodes: a line for each. */
  refused: string[];
  /** Nodes whose state may change without an event: worth another look soon. */
  unsure: string[];
}

/** What gossip says of a node. */
type Word = "alive" | "left" | "failed" | "unknown";

type Address = Pick<ProxyNode, "name" | "address">;

/** Longest name in a message: a member may call itself anything. */
const SHOWN = 80;

/** What is to be believed of gossip. */
interface Hearsay {
  /** Members that may be nodes, by name. */
  known: Map<string, Member>;
  /** Those of them that the agent itself knows, beside those that only announced themselves. */
  heard: Map<string, Member>;
  /** Why others may not: a line for each that lives. */
  refused: string[];
  wordOf: (name: string) => Word;
}

/**
 * Checks what members claim: the name by the rule for server names, the address by the declaration
 * or the range for nodes added by hand.
 */
function listen({ declaration, members, announced, memory, self, stays }: Evidence): Hearsay {
  const { range } = declaration.handMade;
  const declared = new Map(declaration.nodes.map((node) => [node.name, node]));
  const heard = new Map<string, Member>();
  const known = new Map<string, Member>();
  const refused: string[] = [];

  for (const member of members) {
    if (meet(member)) heard.set(member.name, member);
  }
  for (const member of announced) {
    // Newer than what the agent knows of another run.
    if (heard.get(member.name)?.boot !== member.boot) meet(member);
  }
  return { known, heard, refused, wordOf };

  function meet(member: Member): boolean {
    if (member.name === self && member.role === "balancer") return false;
    const reason = refuse(member);
    if (reason === undefined) known.set(member.name, member);
    else if (member.status === "alive") refused.push(`${describe(member)}: ${reason}`);
    return reason === undefined;
  }

  function refuse({ name, address, role, origin }: Member): string | undefined {
    if (!NODE_NAME.test(name)) return "the name is not a host name label (a-z, 0-9, -)";
    if (role === "balancer" || name === self) return `the balancer is ${self}; there is one`;
    if (role !== "backend") return "the role is neither balancer nor backend";
    const node = declared.get(name);
    if (node) return node.address === address ? undefined : `${name} is at ${node.address}`;
    if (origin === "pulumi") return "it is not declared, or not any more";
    if (origin !== "hand") return "the origin is neither pulumi nor hand";
    if (!isInNetwork(address, range)) return `nodes added by hand have an address in ${range}`;
    const living = wordOf(name) === "alive" ? known.get(name) : undefined;
    return living && living.address !== address ? `${name} is at ${living.address}` : undefined;
  }

  function wordOf(name: string): Word {
    const member = known.get(name);
    if (member === undefined) return "unknown";
    if (hasLeft(member, memory) && !(member.status === "alive" && stays(name))) return "left";
    if (member.status === "alive") return "alive";
    if (memory.superseded[name] === member.boot) return "unknown";
    // A leave of an earlier run, heard late, shows on this one, which said none.
    if (member.status === "leaving") return "unknown";
    return member.status;
  }
}

const hasLeft = ({ name, boot }: Member, { left }: Memory) => left[name] === boot;

/**
 * What a health check may be asked about: the declared nodes, and those added by hand whose leave may
 * not be true. HAProxy has the others.
 */
export function checkable(
  { nodes, handMade }: Evidence["declaration"],
  members: Member[],
  memory: Memory,
): ProxyNode[] {
  const declared = new Set(nodes.map(({ name }) => name));
  const left = members.filter(
    (member) =>
      !declared.has(member.name) &&
      hasLeft(member, memory) &&
      isInNetwork(member.address, handMade.range),
  );
  return [...nodes, ...left.map(({ name, address }) => ({ name, address, port: handMade.port }))];
}

function isIn(name: string, wasIn: boolean, word: Word, evidence: Evidence): boolean {
  if (word === "alive") return true;
  if (word === "left") return false;
  const health = evidence.health(name);
  if (health === "serving") return true;
  const isGone = word === "failed" ? health === "down" : evidence.isLost(name);
  return wasIn && !isGone;
}

/**
 * The nodes added by hand that are in, one for an address: not a declared node's, else who lives
 * there by the agent's own word, which has asked it by name; else who was there before, else who
 * says it.
 */
function decideHandMade(
  evidence: Evidence,
  { known, heard, refused, wordOf }: Hearsay,
): ProxyNode[] {
  const { declaration, previous } = evidence;
  const { range, port } = declaration.handMade;
  const before = new Map(previous.map(({ name, address }) => [name, address]));
  const wasAt = ({ name, address }: Address) => before.get(name) === address;
  const livesAt = ({ name, address }: Address) =>
    wordOf(name) === "alive" &&
    heard.get(name)?.status === "alive" &&
    heard.get(name)?.address === address;
  const claimOf = (node: Address) => (livesAt(node) ? 2 : 0) + (wasAt(node) ? 1 : 0);

  const declared = new Set(declaration.nodes.map(({ name }) => name));
  const holders = new Map(declaration.nodes.map(({ name, address }) => [address, name]));
  const unheard = previous.filter(
    ({ name, address }) => !known.has(name) && isInNetwork(address, range),
  );
  const candidates = sortNodes<Address>([...known.values(), ...unheard])
    .filter(({ name }) => !declared.has(name))
    .filter((node) => isIn(node.name, wasAt(node), wordOf(node.name), evidence))
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
  const { declaration, members, memory } = evidence;
  const hearsay = listen(evidence);
  const { known, refused, wordOf } = hearsay;
  const wasAbsent = new Set(memory.absent);
  const fromDeclaration = declaration.nodes.filter(({ name }) =>
    isIn(name, !wasAbsent.has(name), wordOf(name), evidence),
  );
  const nodes = sortNodes([...fromDeclaration, ...decideHandMade(evidence, hearsay)]);

  const names = new Set(nodes.map(({ name }) => name));
  const absent = declaration.nodes.map(({ name }) => name).filter((name) => !names.has(name));
  const keepKnown = (boots: Record<string, string>) =>
    // The agent knows itself at least: nobody means that it does not answer.
    members.length === 0
      ? boots
      : Object.fromEntries(Object.entries(boots).filter(([name]) => known.has(name)));
  const leavers = [...known.values()].filter((member) => hasLeft(member, memory));
  const stayed = leavers.filter(({ name }) => wordOf(name) === "alive").map(({ name }) => name);
  const doubted = leavers.filter(
    ({ name, status }) => status === "alive" && wordOf(name) === "left",
  );
  return {
    nodes,
    memory: {
      left: without(keepKnown(memory.left), stayed),
      superseded: keepKnown(memory.superseded),
      absent,
    },
    refused,
    unsure: [
      ...[...names, ...absent].filter((name) => ["failed", "unknown"].includes(wordOf(name))),
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
