import { ROLE_LABEL, type Member, type Topology } from "./topology";

/** Who made a container: the program, or a person with `npm run node`. Gossip carries it as a tag. */
export type Origin = "pulumi" | "hand";

/** Alias under which Docker's DNS lists all members: whom a starting agent joins. */
const MEMBERS_ALIAS = "members";

/** Label key of a container that was added by hand; its value is the node's name in the lab. */
export const HAND_LABEL = "dynamic-scaling-lab.hand";

/** Where images/base expects the key that encrypts gossip; root's, and nobody else can read it. */
export const KEY_FILE = { path: "/etc/serf/key", permissions: "0600" };

/** How long a container's services may take to end their work at a stop, s. */
const STOP_SECONDS = 10;

/** Most memory of a container, MiB. Idle, a node uses about 45 of it and the balancer 55. */
const MEMORY_MIB = { balancer: 1024, backend: 256 };

/** What a member's container is made of, whoever makes it. */
export interface MemberContainer {
  envs: string[];
  labels: { label: string; value: string }[];
  aliases: string[];
  restart: "unless-stopped";
  stopSeconds: number;
  capabilities: { drops: string[]; adds: string[] };
  securityOpts: string[];
  /** MiB */
  memory: number;
  /** Memory and swap together, MiB. */
  memorySwap: number;
  logDriver: string;
  logOpts: Record<string, string>;
}

/** Plain data from which components/memberContainer.ts and cli/nodePlan.ts each make a container. */
export function describeMember(
  { name, role }: Pick<Member, "name" | "role">,
  label: Topology["label"],
  origin: Origin,
): MemberContainer {
  const kind =
    origin === "hand" ? { label: HAND_LABEL, value: name } : { label: ROLE_LABEL, value: role };
  return {
    envs: [`ROLE=${role}`, `TAG=${name}`, `ORIGIN=${origin}`],
    labels: [label, kind],
    aliases: [name, MEMBERS_ALIAS],
    restart: "unless-stopped",
    stopSeconds: STOP_SECONDS,
    // s6 starts as root and gives every service a user of its own; nothing else is needed.
    // With its prefix CAP_ each name reads back as it was written.
    capabilities: { drops: ["ALL"], adds: ["CAP_KILL", "CAP_SETGID", "CAP_SETUID"] },
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
