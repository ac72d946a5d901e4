import { isIPv4 } from "node:net";
import { isInNetwork } from "./network";

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

/** An IPv4 network. */
export interface Subnet {
  /** Network address as a number. */
  base: number;
  /** Prefix length. */
  prefix: number;
}

/** What a CIDR text means, or a sentence that says what is allowed. */
export function parseSubnet(text: string): Subnet | string {
  const allowed = `an IPv4 network such as 192.168.42.0/24, from a /${MIN_PREFIX} to a /${MAX_PREFIX}`;
  const parsed = parseCidr(text);
  if (!parsed || parsed.prefix < MIN_PREFIX || parsed.prefix > MAX_PREFIX) return allowed;
  const { base: address, prefix } = parsed;
  const base = address - (address % sizeOf(parsed));
  if (base !== address) return `its network address is ${formatAddress(base)}/${prefix}`;
  // Docker takes these too, and breaks the host's loopback with 127.0.0.0/24.
  const first = Math.floor(base / 2 ** 24);
  if (first === 0 || first === 127 || first >= 224) return `${allowed}, not reserved or loopback`;
  return { base, prefix };
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
  const { base, prefix } = parseCidr(subnet)!;
  const ends = [base, base + sizeOf({ base, prefix }) - 1].map(formatAddress);
  return NOT_PUBLIC.some((cidr) => ends.every((address) => isInNetwork(address, cidr)));
}

/** Whether a subnet shares addresses with a network in CIDR form; it shares none with an IPv6 one. */
export function overlaps(subnet: Subnet, cidr: string): boolean {
  const other = parseCidr(cidr);
  if (!other) return false;
  const larger = Math.max(sizeOf(subnet), sizeOf(other));
  return Math.floor(subnet.base / larger) === Math.floor(other.base / larger);
}

/** Address, which may have host bits, and prefix length. */
function parseCidr(text: string): Subnet | undefined {
  const match = /^([0-9.]+)\/(\d{1,2})$/.exec(text);
  if (!match || !isIPv4(match[1]) || Number(match[2]) > 32) return undefined;
  const base = match[1].split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
  return { base, prefix: Number(match[2]) };
}

/** Number of web nodes that the plan holds. */
export function maxNodes(subnet: Subnet): number {
  const held = sizeOf(subnet) - dockersShare(subnet) - FIRST_NODE - 1;
  return Math.min(held, MAX_NODES);
}

/** Address of the network's gateway, by which the host shows up in the lab. */
export function gatewayAddress(subnet: Subnet): string {
  return formatAddress(subnet.base + GATEWAY);
}

export function balancerAddress(subnet: Subnet): string {
  return formatAddress(subnet.base + BALANCER);
}

/** Address of the i-th web node, counted from 1. */
export function nodeAddress(subnet: Subnet, i: number): string {
  const offset = FIRST_NODE + i - 1;
  return formatAddress(subnet.base + (offset < BALANCER ? offset : offset + 1));
}

/** The range from which Docker itself allocates, in CIDR form. */
export function dockersRange(subnet: Subnet): string {
  const size = dockersShare(subnet);
  const prefix = subnet.prefix + Math.log2(DOCKERS_SHARE);
  return `${formatAddress(subnet.base + sizeOf(subnet) - size)}/${prefix}`;
}

function sizeOf({ prefix }: Subnet): number {
  return 2 ** (32 - prefix);
}

function dockersShare(subnet: Subnet): number {
  return sizeOf(subnet) / DOCKERS_SHARE;
}

function formatAddress(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");
}
