import fc from "fast-check";
import { parseNode } from "../../configurator/protocol/declaration";

test("a node keeps its three fields and nothing else", () => {
  const node = parseNode({ name: "s1", address: "10.0.0.1", port: 3000, weight: 7 });
  expect(node).toEqual({ name: "s1", address: "10.0.0.1", port: 3000 });
});

test.each([
  [
    { name: "s1\n server evil" },
    'node name "s1\\n server evil" is not a host name label (a-z, 0-9, -)',
  ],
  [{ name: "../x" }, 'node name "../x" is not a host name label (a-z, 0-9, -)'],
  [{ name: undefined }, "node name undefined is not a host name label (a-z, 0-9, -)"],
  [
    { name: "s".repeat(64) },
    `node name "${"s".repeat(64)}" is not a host name label (a-z, 0-9, -)`,
  ],
  [{ address: "10.0.0" }, 'node s1: address "10.0.0" is not an IPv4 address'],
  [{ port: "80" }, 'node s1: port "80" is not a number from 1 to 65535'],
  [{ port: 0 }, "node s1: port 0 is not a number from 1 to 65535"],
])("%j is refused", (change, message) => {
  const node = { name: "s1", address: "10.0.0.1", port: 3000, ...change };
  expect(() => parseNode(node)).toThrow(new Error(message));
});

test("whatever comes in, a node that is let through cannot break out of its line", () => {
  fc.assert(
    fc.property(fc.anything(), fc.string(), fc.string(), (any, name, address) => {
      for (const value of [any, { name, address, port: 1 }]) {
        let node;
        try {
          node = parseNode(value);
        } catch (error) {
          expect((error as Error).message).toMatch(/^node /);
          continue;
        }
        expect(`${node.name} ${node.address}`).toMatch(/^[a-z0-9-]+ [0-9.]+$/);
      }
    }),
  );
});
