import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { checkConfig, type LabConfig } from "../../components/config";

interface Project {
  config: Record<string, { default: unknown; description: string }>;
}

const project = parse(readFileSync("Pulumi.yaml", "utf8")) as Project;

/** The defaults as they stand in Pulumi.yaml, their only home. */
const defaults = {
  stack: "dev",
  ...Object.fromEntries(Object.entries(project.config).map(([key, value]) => [key, value.default])),
} as unknown as LabConfig;

test("the defaults are the lab's constants", () => {
  expect(checkConfig(defaults)).toEqual({
    stack: "dev",
    nodeCount: 2,
    subnet: "192.168.42.0/24",
    namePrefix: "",
    publishAddress: "127.0.0.1",
    adminAddress: "127.0.0.1",
    httpPort: 80,
    statsPort: 1936,
    adminPort: 9999,
    nodePorts: 4000,
    serverTimeout: 1000,
    stickySessions: true,
    readyTimeout: 60,
  });
});

test("every key has a description", () => {
  for (const { description } of Object.values(project.config)) expect(description).toBeTruthy();
});

test.each<[Partial<LabConfig>, string]>([
  [
    { nodeCount: -1 },
    "nodeCount: -1 is not allowed; a number of nodes that 192.168.42.0/24 holds, from 0 to 212",
  ],
  [
    { nodeCount: 213 },
    "nodeCount: 213 is not allowed; a number of nodes that 192.168.42.0/24 holds, from 0 to 212",
  ],
  [
    { nodeCount: 2.5 },
    "nodeCount: 2.5 is not allowed; a number of nodes that 192.168.42.0/24 holds, from 0 to 212",
  ],
  [
    { subnet: "192.168.42.5/24" },
    'subnet: "192.168.42.5/24" is not allowed; its network address is 192.168.42.0/24',
  ],
  [
    { namePrefix: "a b" },
    'namePrefix: "a b" is not allowed; nothing, or up to 31 of a-z 0-9 _ . - that begin with a-z or 0-9',
  ],
  [
    { publishAddress: "localhost" },
    'publishAddress: "localhost" is not allowed; an IPv4 address of this host, or 0.0.0.0 for all',
  ],
  [
    { adminAddress: "" },
    'adminAddress: "" is not allowed; an IPv4 address of this host, or 0.0.0.0 for all',
  ],
  [{ httpPort: 0 }, "httpPort: 0 is not allowed; a port from 1 to 65535"],
  [{ adminPort: 65536 }, "adminPort: 65536 is not allowed; a port from 1 to 65535"],
  [{ statsPort: 80 }, "statsPort: 80 is not allowed; a port that httpPort does not use"],
  [{ httpPort: 4001 }, "httpPort: 4001 is not allowed; a port outside the nodes' own 4000-4001"],
  [
    { nodePorts: 65535 },
    "nodePorts: 65535 is not allowed; 0, or a first port from 1 to 65534 for 2 nodes",
  ],
  [
    { nodePorts: -1 },
    "nodePorts: -1 is not allowed; 0, or a first port from 1 to 65534 for 2 nodes",
  ],
  [{ serverTimeout: 99 }, "serverTimeout: 99 is not allowed; milliseconds from 100 to 60000"],
  [{ readyTimeout: 0 }, "readyTimeout: 0 is not allowed; seconds from 1 to 3600"],
])("%j is refused", (change, problem) => {
  expect(() => checkConfig({ ...defaults, ...change })).toThrow(
    new Error(`configuration\n  ${problem}`),
  );
});

test("all problems are named at once", () => {
  const change = { nodeCount: -1, httpPort: 0, readyTimeout: 0 };
  expect(() => checkConfig({ ...defaults, ...change })).toThrow(
    new Error(
      "configuration\n" +
        "  nodeCount: -1 is not allowed; a number of nodes that 192.168.42.0/24 holds, from 0 to 212\n" +
        "  httpPort: 0 is not allowed; a port from 1 to 65535\n" +
        "  readyTimeout: 0 is not allowed; seconds from 1 to 3600",
    ),
  );
});

test("unpublished nodes leave their ports to others", () => {
  expect(checkConfig({ ...defaults, nodePorts: 0, httpPort: 4001 })).toMatchObject({
    httpPort: 4001,
  });
});
