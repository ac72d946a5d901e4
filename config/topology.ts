import type { ProxySettings } from "../haproxy/render";
import {
  balancerAddress,
  dockersRange,
  gatewayAddress,
  nodeAddress,
  parseSubnet,
} from "./addressPlan";
import type { LabConfig } from "./labConfig";
import { AGENT_PORTS, APP_PORT, PROXY_PORTS, SECOND_PROXY_PORTS } from "./ports";

/** A container port and where the host reaches it. */
export interface PublishedPort {
  internal: number;
  external: number;
  /** Host address. */
  ip: string;
}

/** What a container of the lab is for; `front` only keeps an address for two balancers. */
export type Role = "balancer" | "backend" | "front";

/** One container with an address: a web node, the balancer, or the front of two. */
export interface Member {
  /** Name inside the lab: host name, alias, HAProxy's server name. */
  name: string;
  /** Name on the engine. */
  containerName: string;
  role: Role;
  address: string;
  ports: PublishedPort[];
}

/** One HAProxy with its configurator and its agent. */
export interface Balancer {
  name: string;
  containerName: string;
  /** What its haproxy.cfg is rendered with. */
  proxy: ProxySettings;
  /** With two: what each needs to know, since they share the front's network. */
  shared?: {
    ports: (typeof AGENT_PORTS)[number];
    /** The other one. */
    peer: { name: string; gossipPort: number };
  };
}

/** What there is on a Swarm only. */
export interface SwarmPlan {
  /** Where the images are pushed to. */
  registry: { server: string; username: string; password: string };
  /** Constraints on the engines that may have nodes. */
  constraints: string[];
  /** How the balancers' ports are published. */
  publishMode: LabConfig["publishMode"];
}

/** Everything that exists in a lab, as plain data. */
export interface Topology {
  /** `ipRange` is what Docker itself gives addresses from; without one it is the whole subnet. */
  network: {
    name: string;
    driver: "bridge" | "overlay";
    subnet: string;
    gateway: string;
    ipRange?: string;
  };
  /** Addresses that nodes may have of which the declaration does not know the address. */
  handMadeRange: string;
  /** Undefined on one engine. */
  swarm?: SwarmPlan;
  images: { base: string; ha: string; webapp: string; front: string };
  /** `ha`, which has the lab's address and published ports: the balancer itself, or the front of two. */
  front: Member;
  /** One, or two in the order of their names. */
  balancers: Balancer[];
  /** Names on the engine of the containers that are balancers now, or may be until the next update. */
  possibleBalancers: string[];
  nodes: Member[];
  /** Port on which every node's application listens. */
  appPort: number;
  /** Label on everything the lab makes, its value names the stack. */
  label: { label: string; value: string };
}

/** All containers of a lab by their names. */
export const containersOf = ({ front, balancers, nodes }: Topology) => [
  front,
  ...balancers.filter(({ name }) => name !== front.name),
  ...nodes,
];

/** Label key by which people find what a lab made; whose it is, say only the ids in a state. */
export const STACK_LABEL = "dynamic-scaling-lab.stack";
/** Label key with the role that lab.md names. */
export const ROLE_LABEL = "dynamic-scaling-lab.role";

/** The container with the lab's address, and the two balancers behind it where there are two. */
const FRONT = "ha";
const PAIR = ["ha1", "ha2"];

/** What no node can be called, also while there is one balancer. */
export const BALANCER_NAMES = [FRONT, ...PAIR];

/** Answered with 200 by a node that serves: images/webapp/src/app.ts. */
const HEALTH_PATH = "/health";
const CHECK_TIMEOUT_MS = 1000;
const HARD_STOP_SECONDS = 30;

/**
 * The images' names with their tags.
 *
 * @param registry where they are pushed to, if they are
 */
export function imageNames(
  { namePrefix, stack }: Pick<LabConfig, "namePrefix" | "stack">,
  registry?: string,
) {
  const place = registry === undefined ? "" : `${registry}/`;
  const name = (image: string) => `${place}${namePrefix}lab-${image}:${stack}`;
  return { base: name("base"), ha: name("ha"), webapp: name("webapp"), front: name("front") };
}

/** Time between two checks of a node, ms: of many nodes the checks are much of the cost, and one that hangs is a small part. */
function checkInterval(nodeCount: number): number {
  return nodeCount < 100 ? 500 : 2000;
}

/** Turns the checked configuration into names, roles, addresses and ports. */
export function planTopology(config: LabConfig): Topology {
  const subnet = parseSubnet(config.subnet);
  if (typeof subnet === "string") throw new Error(`subnet: ${subnet}`);
  const { namePrefix, publishAddress, adminAddress } = config;
  const onSwarm = config.orchestrator === "swarm";
  const ipRange = dockersRange(subnet);

  const nodes = Array.from({ length: config.nodeCount }, (_, i): Member => {
    const name = `s${i + 1}`;
    const external = config.nodePorts + i;
    return {
      name,
      containerName: `${namePrefix}${name}`,
      role: "backend",
      // A task of a Swarm can't have a fixed address: its name is its place.
      address: onSwarm ? name : nodeAddress(subnet, i + 1),
      ports:
        config.nodePorts && !onSwarm ? [{ internal: APP_PORT, external, ip: publishAddress }] : [],
    };
  });

  const isPair = config.balancers === 2;
  const proxy: ProxySettings = {
    ports: PROXY_PORTS,
    subnet: config.subnet,
    gateway: gatewayAddress(subnet),
    serverTimeoutMs: config.serverTimeout,
    healthPath: HEALTH_PATH,
    checkIntervalMs: checkInterval(config.nodeCount),
    checkTimeoutMs: CHECK_TIMEOUT_MS,
    hardStopSeconds: HARD_STOP_SECONDS,
    stickySessions: config.stickySessions,
    statsAuth: config.statsPassword !== "",
    byName: onSwarm,
  };
  const { http, stats, admin } = PROXY_PORTS;
  const onEngine = [
    { internal: http, external: config.httpPort, ip: publishAddress },
    { internal: stats, external: config.statsPort, ip: adminAddress },
    { internal: admin, external: config.adminPort, ip: adminAddress },
  ];
  // Swarm has no other way. The admin CLI, which asks for no password, is not published there.
  const onEveryAddress = [
    { internal: http, external: config.httpPort, ip: "0.0.0.0" },
    { internal: stats, external: config.statsPort, ip: "0.0.0.0" },
  ];
  const second = [
    { internal: SECOND_PROXY_PORTS.stats, external: config.secondStatsPort, ip: adminAddress },
    { internal: SECOND_PROXY_PORTS.admin, external: config.secondAdminPort, ip: adminAddress },
  ];

  return {
    network: {
      name: `${namePrefix}heig`,
      driver: onSwarm ? "overlay" : "bridge",
      subnet: config.subnet,
      gateway: gatewayAddress(subnet),
      ipRange: onSwarm ? undefined : ipRange,
    },
    handMadeRange: onSwarm ? config.subnet : ipRange,
    swarm: onSwarm ? planSwarm(config) : undefined,
    images: imageNames(config, onSwarm ? config.registry : undefined),
    front: {
      name: FRONT,
      containerName: `${namePrefix}${FRONT}`,
      role: isPair ? "front" : "balancer",
      address: onSwarm ? FRONT : balancerAddress(subnet),
      ports: onSwarm ? onEveryAddress : [...onEngine, ...(isPair ? second : [])],
    },
    balancers: isPair
      ? PAIR.map((name, i) => ({
          name,
          containerName: `${namePrefix}${name}`,
          proxy: { ...proxy, ports: [PROXY_PORTS, SECOND_PROXY_PORTS][i] },
          shared: {
            ports: AGENT_PORTS[i],
            peer: { name: PAIR[1 - i], gossipPort: AGENT_PORTS[1 - i].gossip },
          },
        }))
      : [{ name: FRONT, containerName: `${namePrefix}${FRONT}`, proxy }],
    possibleBalancers: BALANCER_NAMES.map((name) => `${namePrefix}${name}`),
    nodes,
    appPort: APP_PORT,
    label: { label: STACK_LABEL, value: config.stack },
  };
}

function planSwarm(config: LabConfig): SwarmPlan {
  const { registry, registryUser, registryPassword, placement, publishMode } = config;
  return {
    registry: { server: registry, username: registryUser, password: registryPassword },
    constraints: placement === "" ? [] : [placement.replaceAll(" ", "")],
    publishMode,
  };
}
