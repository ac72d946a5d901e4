import { addressAt, parseCidr, type Subnet } from "./subnet";

/**
 * Who gets which address of the lab's network. By offset from the network address:
 *
 *     .1        gateway
 *     .2-.9     kept for infrastructure
 *     .11-…     web nodes in order, skipping .42
 *     .42       the balancer
 *     last 1/8  Docker's own allocation, nodes added by hand among it
 *
 * The ranges are disjoint, so no address is given twice.
 */
const GATEWAY = 1;
const FIRST_NODE = 11;
const BALANCER = 42;
const DOCKERS_SHARE = 8;

/** A Linux bridge has 1024 ports; some are left for the balancer and nodes added by hand. */
export const MAX_NODES = 1000;

/** Smallest and largest prefix length: a /26 still holds .42 below Docker's share. */
const MIN_PREFIX = 20;
const MAX_PREFIX = 26;

/** What a CIDR text means, or a sentence that says what is allowed. */
export function parseSubnet(text: string): Subnet | string {
  const allowed = `an IPv4 network such as 192.168.42.0/24, from a /${MIN_PREFIX} to a /${MAX_PREFIX}`;
  const parsed = parseCidr(text);
  if (!parsed || parsed.bitmask < MIN_PREFIX || parsed.bitmask > MAX_PREFIX) return allowed;
  if (parsed.toString() !== text) return `its network address, ${parsed.toString()}`;
  // Docker takes these too, and breaks the host's loopback with 127.0.0.0/24.
  const first = Number(text.split(".", 1));
  if (first === 0 || first === 127 || first >= 224) return `${allowed}, not reserved or loopback`;
  return parsed;
}

/**
 * Networks that are nobody's on the Internet: private (RFC 1918), shared by carriers (RFC 6598),
 * link-local, for benchmarks and for documentation.
 */
const NOT_PUBLIC = [
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "100.64.0.0/10",
  "169.254.0.0/16",
  "198.18.0.0/15",
  "192.0.2.0/24",
  "198.51.100.0/24",
  "203.0.113.0/24",
];

/** Whether no address of an allowed subnet belongs to a host on the Internet. */
export function isPrivate(subnet: string): boolean {
  return NOT_PUBLIC.some((cidr) => parseCidr(cidr)!.contains(subnet));
}

/** Number of web nodes that the plan holds. */
export function maxNodes(subnet: Subnet): number {
  const held = subnet.size - dockersShare(subnet) - FIRST_NODE - 1;
  return Math.min(held, MAX_NODES);
}

/** Address of the network's gateway, by which the host shows up in the lab. */
export function gatewayAddress(subnet: Subnet): string {
  return addressAt(subnet, GATEWAY);
}

export function balancerAddress(subnet: Subnet): string {
  return addressAt(subnet, BALANCER);
}

/** Address of the i-th web node, counted from 1. */
export function nodeAddress(subnet: Subnet, i: number): string {
  const offset = FIRST_NODE + i - 1;
  return addressAt(subnet, offset < BALANCER ? offset : offset + 1);
}

/** The range from which Docker itself allocates, in CIDR form. */
export function dockersRange(subnet: Subnet): string {
  const prefix = subnet.bitmask + Math.log2(DOCKERS_SHARE);
  return `${addressAt(subnet, subnet.size - dockersShare(subnet))}/${prefix}`;
}

function dockersShare(subnet: Subnet): number {
  return subnet.size / DOCKERS_SHARE;
}
