import { ROLE_LABEL, type Balancer, type Role, type Topology } from "./topology";

/** Who made a container: the program, or a person with `npm run node`. Gossip carries it as a tag. */
export type Origin = "pulumi" | "hand";

/** Alias under which Docker's DNS lists all members: whom a starting agent joins. */
const MEMBERS_ALIAS = "members";

/** Label key of a container that was added by hand; its value is the node's name in the lab. */
export const HAND_LABEL = "dynamic-scaling-lab.hand";

/** Where images/base expects the key that encrypts gossip; root's, and nobody else can read it. */
export const KEY_FILE = { path: "/etc/serf/key", permissions: "0600" };

/** How long a container's services may take to end their work at a stop, s. */
export const STOP_SECONDS = 10;

/** Most memory of a container, MiB. Idle, a node uses about 45 of it and the balancer 55. */
const MEMORY_MIB = { balancer: 1024, backend: 256, front: 16 };

/** Under which names Docker's DNS has a container. */
export const aliasesOf = (name: string) => [name, MEMBERS_ALIAS];

/** What a member's container is made of, whoever makes it. */
export interface MemberContainer {
  envs: string[];
  labels: { label: string; value: string }[];
  restart: "unless-stopped";
  capabilities: { drops: string[]; adds: string[] };
  securityOpts: string[];
  /** MiB */
  memory: number;
  /** Memory and swap together, MiB. */
  memorySwap: number;
  logDriver: string;
  logOpts: Record<string, string>;
}

/**
 * Plain data from which components/memberContainer.ts, components/loadBalancer.ts (the front) and
 * cli/handMade.ts each make a container.
 */
export function describeMember(
  { name, role, shared }: { name: string; role: Role; shared?: Balancer["shared"] },
  label: Topology["label"],
  origin: Origin,
): MemberContainer {
  const kind =
    origin === "hand" ? { label: HAND_LABEL, value: name } : { label: ROLE_LABEL, value: role };
  return {
    envs: [`ROLE=${role}`, `TAG=${name}`, `ORIGIN=${origin}`, ...describeShared(name, shared)],
    labels: [label, kind],
    restart: "unless-stopped",
    // s6 starts as root and gives every service a user of its own; nothing else is needed.
    // With its prefix CAP_ each name reads back as it was written.
    capabilities: {
      drops: ["ALL"],
      adds: role === "front" ? [] : ["CAP_KILL", "CAP_SETGID", "CAP_SETUID"],
    },
    // A setuid program, of which Debian brings some, gives its caller nothing.
    securityOpts: ["no-new-privileges"],
    // One that takes more is ended by the kernel, inside its container, before its host suffers.
    memory: MEMORY_MIB[role],
    // The same: no swap. Left out, Docker would allow as much again.
    memorySwap: MEMORY_MIB[role],
    logDriver: "json-file",
    logOpts: { "max-size": "10m", "max-file": "3" },
  };
}

/**
 * What one of two balancers is told, as both have the front's host name, address and loopback: its
 * name, where its agent listens, and where the other one's does.
 */
function describeShared(name: string, shared: Balancer["shared"]): string[] {
  if (shared === undefined) return [];
  const { ports, peer } = shared;
  return [
    `AGENT_NAME=${name}`,
    `GOSSIP_PORT=${ports.gossip}`,
    // Serf's own variable.
    `SERF_RPC_ADDR=127.0.0.1:${ports.rpc}`,
    `PEER=${peer.name}`,
    `PEER_GOSSIP_PORT=${peer.gossipPort}`,
  ];
}
