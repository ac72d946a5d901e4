/** The lab that is to come, and what is on its host already. */
import type { LabConfig } from "../config/labConfig";
import type { Topology } from "../config/topology";
import type { ProxyNode } from "../haproxy/render";
import type { Claim } from "../state/inventory";

/** What the lab is going to be. */
export interface DeclaredLab {
  config: LabConfig;
  topology: Topology;
  /** The servers of haproxy.cfg. */
  servers: ProxyNode[];
}

/** What the engine and its host have already, as far as it can be in the lab's way. */
export interface Host {
  engine: {
    address: string;
    /** What chose it. */
    source: string;
    version: string;
    api: string;
    /** The version of its host's kernel. */
    kernel: string;
  };
  /** Undefined where the lab is not to be on one. */
  swarm?: {
    /** Docker's word: active, inactive, pending, … */
    state: string;
    isManager: boolean;
    /** Docker's word for whether tasks may run on this engine: active, pause, drain. */
    availability?: string;
    /** Addresses of the managers that the engine knows. */
    managers: string[];
    /** All of the Swarm that are ready, with Docker's version. */
    engines: { name: string; version: string }[];
    /** Why the Swarm can't be asked, if it can't. */
    error?: string;
    /** `own`: this stack's state records it. */
    services: { name: string; own: boolean }[];
    /** What the engine says of the registry with the user and the password, if it refuses. */
    registryError?: string;
  };
  networks: { name: string; stack?: string; own: boolean; subnets: string[] }[];
  containers: {
    name: string;
    /** The stack that its label names, of whatever checkout. */
    stack?: string;
    /** Why it is this lab's, if it is. */
    claim?: Claim;
    /** Whether the state records a haproxy.cfg in it. */
    configured: boolean;
    /** Docker's word: running, exited, paused, … */
    state: string;
    ports: HostPort[];
    /** Name in the lab of a node that was added by hand. */
    hand?: string;
    /** By network name; a stopped container keeps the address that it was given. */
    addresses?: Record<string, string>;
  }[];
  /** Error code of each port at which this host does not let anyone listen; see {@link keyOf}. */
  refused: Record<string, string>;
  /** How many neighbours the host's kernel keeps, all containers together; undefined elsewhere. */
  neighbours?: number;
}

/** A port of the host, at one of its addresses or at all. */
export interface HostPort {
  ip: string;
  port: number;
}

/** One thing that can be in the lab's way. @returns a text for each problem */
export type Check = (lab: DeclaredLab, host: Host) => string[];

const EVERY_ADDRESS = "0.0.0.0";

/** Whether only one of two listeners can have its port. */
export function collides(a: HostPort, b: HostPort): boolean {
  return a.port === b.port && (a.ip === b.ip || [a.ip, b.ip].includes(EVERY_ADDRESS));
}

/** The name of a port in {@link Host}. */
export function keyOf({ ip, port }: HostPort): string {
  return `${ip}:${port}`;
}
