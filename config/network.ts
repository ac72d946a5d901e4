import { BlockList, isIPv4 } from "node:net";

/** Whether an address belongs to an IPv4 network in CIDR form; a text that is no address does not. */
export function isInNetwork(address: string, cidr: string): boolean {
  if (!isIPv4(address)) return false;
  const [network, prefix] = cidr.split("/");
  const list = new BlockList();
  list.addSubnet(network, Number(prefix));
  return list.check(address);
}
