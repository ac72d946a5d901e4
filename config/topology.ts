import type { ProxySettings } from "../haproxy/render";
import {
  balancerAddress,
  dockersRange,
  gatewayAddress,
  nodeAddress,
  parseSubnet,
} from "./addressPlan";
import type { LabConfig } from "./labConfig";
import { APP_PORT, PROXY_PORTS } from "./ports";

/** A container port and where the host reaches it. */
export interface PublishedPort {
  internal: number;
  external: number;
  /** Host address. */
  ip: string;
}

/** One container: the balancer or a web node. */
export interface Member {
  /** Name inside the lab: host name, alias, HAProxy's server name. */
  name: string;
  /** Name on the engine. */
  containerName: string;
  role: "balancer" | "backend";
  address: string;
  ports: PublishedPort[];
}

/** Everything that exists in a lab, as plain data. */
export interface Topology {
  network: { name: string; subnet: string; gateway: string; ipRange: string };
  images: { base: string; ha: string; webapp: string };
  balancer: Member;
  nodes: Member[];
  /** Port on which every node's application listens. */
  appPort: number;
  proxy: ProxySettings;
  /** Label on everything the lab makes, its value names the stack. */
  label: { label: string; value: string };
}

/** Label key by which people find what a lab made; whose it is, say only the ids in a state. */
export const STACK_LABEL = "dynamic-scaling-lab.stack";
/** Label key with the role that lab.md names. */
export const ROLE_LABEL = "dynamic-scaling-lab.role";

/** Answered with 200 by a node that serves: images/webapp/src/app.ts. */
const HEALTH_PATH = "/health";
const CHECK_INTERVAL_MS = 500;
const CHECK_TIMEOUT_MS = 1000;
const HARD_STOP_SECONDS = 30;

/** The images' names with their tags. */
export function imageNames({ namePrefix, stack }: Pick<LabConfig, "namePrefix" | "stack">) {
  const name = (image: string) => `${namePrefix}lab-${image}:${stack}`;
  return { base: name("base"), ha: name("ha"), webapp: name("webapp") };
}

/** Turns the checked configuration into names, roles, addresses and ports. */
export function planTopology(config: LabConfig): Topology {
  const subnet = parseSubnet(config.subnet);
  if (typeof subnet === "string") throw new Error(`subnet: ${subnet}`);
  const { namePrefix, publishAddress, adminAddress } = config;

  const nodes = Array.from({ length: config.nodeCount }, (_, i): Member => {
    const name = `s${i + 1}`;
    const external = config.nodePorts + i;
    return {
      name,
      containerName: `${namePrefix}${name}`,
      role: "backend",
      address: nodeAddress(subnet, i + 1),
      ports: config.nodePorts ? [{ internal: APP_PORT, external, ip: publishAddress }] : [],
    };
  });

  return {
    network: {
      name: `${namePrefix}heig`,
      subnet: config.subnet,
      gateway: gatewayAddress(subnet),
      ipRange: dockersRange(subnet),
    },
    images: imageNames(config),
    balancer: {
      name: "ha",
      containerName: `${namePrefix}ha`,
      role: "balancer",
      address: balancerAddress(subnet),
      ports: [
        { internal: PROXY_PORTS.http, external: config.httpPort, ip: publishAddress },
        { internal: PROXY_PORTS.stats, external: config.statsPort, ip: adminAddress },
        { internal: PROXY_PORTS.admin, external: config.adminPort, ip: adminAddress },
      ],
    },
    nodes,
    appPort: APP_PORT,
    proxy: {
      ports: PROXY_PORTS,
      subnet: config.subnet,
      gateway: gatewayAddress(subnet),
      serverTimeoutMs: config.serverTimeout,
      healthPath: HEALTH_PATH,
      checkIntervalMs: CHECK_INTERVAL_MS,
      checkTimeoutMs: CHECK_TIMEOUT_MS,
      hardStopSeconds: HARD_STOP_SECONDS,
      stickySessions: config.stickySessions,
      statsAuth: config.statsPassword !== "",
    },
    label: { label: STACK_LABEL, value: config.stack },
  };
}
