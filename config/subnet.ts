/** IPv4 networks in CIDR form. */
import { isIPv4 } from "node:net";
import { Netmask, long2ip } from "netmask";

/** An IPv4 network: its `base` address, its prefix length `bitmask`, its `size`. */
export type Subnet = Netmask;

/** The network that an address with a prefix length is in; undefined for any other text. */
export function parseCidr(text: string): Subnet | undefined {
  const [, address, prefix] = /^(.+)\/(\d{1,2})$/.exec(text) ?? [];
  // Netmask alone also takes octal numbers, short addresses and IPv6.
  return isIPv4(address) && Number(prefix) <= 32 ? new Netmask(text) : undefined;
}

/** Whether a network shares addresses with one in CIDR form; it shares none with an IPv6 one. */
export function overlaps(subnet: Subnet, cidr: string): boolean {
  const other = parseCidr(cidr);
  return other !== undefined && (subnet.contains(other) || other.contains(subnet));
}

/** Whether an address belongs to a network in CIDR form; a text that is no address does not. */
export function isInNetwork(address: string, cidr: string): boolean {
  return isIPv4(address) && parseCidr(cidr)?.contains(address) === true;
}

/** The address so many after the network's own. */
export function addressAt(subnet: Subnet, offset: number): string {
  return long2ip(subnet.netLong + offset);
}
