import fc from "fast-check";
import { long2ip, Netmask } from "netmask";
import {
  balancerAddress,
  dockersRange,
  gatewayAddress,
  maxNodes,
  nodeAddress,
  parseSubnet,
} from "../../config/addressPlan";
import { isInNetwork, overlaps, parseCidr, type Subnet } from "../../config/subnet";

const subnetOf = (text: string): Subnet => {
  const subnet = parseSubnet(text);
  if (typeof subnet === "string") throw new Error(subnet);
  return subnet;
};

const asNumber = (address: string) =>
  address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);

test.each([
  ["192.168.42.0/24", "192.168.42.1", "192.168.42.42", "192.168.42.224/27", 212],
  ["10.1.0.0/20", "10.1.0.1", "10.1.0.42", "10.1.14.0/23", 1000],
  ["172.20.0.64/26", "172.20.0.65", "172.20.0.106", "172.20.0.120/29", 44],
])("the plan of %s", (text, gateway, balancer, docker, most) => {
  const subnet = subnetOf(text);
  expect({
    gateway: gatewayAddress(subnet),
    balancer: balancerAddress(subnet),
    docker: dockersRange(subnet),
    most: maxNodes(subnet),
  }).toEqual({ gateway, balancer, docker, most });
});

test("nodes begin at .11 and skip the balancer's .42", () => {
  const subnet = subnetOf("192.168.42.0/24");
  const addresses = [1, 2, 31, 32, 212].map((i) => nodeAddress(subnet, i));
  expect(addresses).toEqual([
    "192.168.42.11",
    "192.168.42.12",
    "192.168.42.41",
    "192.168.42.43",
    "192.168.42.223",
  ]);
});

test("no address is given twice, whatever the subnet", () => {
  const subnets = fc
    .record({ prefix: fc.integer({ min: 20, max: 26 }), base: fc.nat(2 ** 32 - 1) })
    .map(({ prefix, base }) => new Netmask(`${long2ip(base)}/${prefix}`));
  fc.assert(
    fc.property(subnets, (subnet) => {
      const nodes = Array.from({ length: maxNodes(subnet) }, (_, i) => nodeAddress(subnet, i + 1));
      const all = [gatewayAddress(subnet), balancerAddress(subnet), ...nodes];
      const reservedForDocker = asNumber(dockersRange(subnet).split("/")[0]);
      expect(new Set(all).size).toBe(all.length);
      for (const address of all.map(asNumber)) {
        expect(address).toBeGreaterThan(subnet.netLong);
        expect(address).toBeLessThan(reservedForDocker);
      }
    }),
    { numRuns: 50 },
  );
});

test.each([
  ["", "an IPv4 network such as 192.168.42.0/24, from a /20 to a /26"],
  ["192.168.42.0", "an IPv4 network such as 192.168.42.0/24, from a /20 to a /26"],
  ["192.168.42.0/27", "an IPv4 network such as 192.168.42.0/24, from a /20 to a /26"],
  ["10.0.0.0/8", "an IPv4 network such as 192.168.42.0/24, from a /20 to a /26"],
  ["300.1.1.0/24", "an IPv4 network such as 192.168.42.0/24, from a /20 to a /26"],
  ["fd00::/24", "an IPv4 network such as 192.168.42.0/24, from a /20 to a /26"],
  ["192.168.42.7/24", "its network address, 192.168.42.0/24"],
])("subnet %j is refused", (text, allowed) => {
  expect(parseSubnet(text)).toBe(allowed);
});

test.each([
  ["10.0.0.0/24", "10.0.0.0/8", true],
  ["10.0.0.0/8", "10.0.0.7/24", true],
  ["10.0.0.0/24", "10.0.1.0/24", false],
  ["192.168.42.0/24", "192.168.42.9/32", true],
  ["192.168.42.0/24", "0.0.0.0/0", true],
  ["192.168.42.0/24", "fd00::/8", false],
])("%s overlaps %s: %s", (a, b, expected) => {
  expect(overlaps(parseCidr(a)!, b)).toBe(expected);
});

test.each([
  ["192.168.42.255", "192.168.42.224/27", true],
  ["192.168.42.223", "192.168.42.224/27", false],
  ["192.168.042.230", "192.168.42.224/27", false],
  ["192.168.42", "192.168.42.0/24", false],
  ["fd00::1", "192.168.42.0/24", false],
  ["192.168.42.1", "192.168.42.0", false],
])("%s is in %s: %s", (address, cidr, expected) => {
  expect(isInNetwork(address, cidr)).toBe(expected);
});

test.each(["10.0.0.0/33", "10.0/8", "fd00::/24", "010.0.0.0/8", "/8", ""])(
  "%j is no CIDR",
  (it) => {
    expect(parseCidr(it)).toBeUndefined();
  },
);
