import { LAB, SWARM_LAB } from "../support/labConfig";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import * as pulumi from "@pulumi/pulumi";
import fc from "fast-check";
import { parse } from "yaml";
import { checkConfig, listWarnings, readConfig, type LabConfig } from "../../config/labConfig";

interface Project {
  config: Record<string, { default: unknown; description: string }>;
}

const project = parse(readFileSync("Pulumi.yaml", "utf8")) as Project;

/** The defaults as they stand in Pulumi.yaml, their only home. */
const defaults = {
  stack: "dev",
  ...Object.fromEntries(Object.entries(project.config).map(([key, value]) => [key, value.default])),
} as unknown as LabConfig;

// The file changes whenever somebody uses the checkout, so an own value is soon committed with it.
test("a fresh clone has the defaults: its stack file sets nothing", () => {
  const committed = execFileSync("git", ["show", "HEAD:Pulumi.dev.yaml"], { encoding: "utf8" });
  expect(Object.keys(parse(committed) as object)).toEqual(["encryptionsalt"]);
});

/** What the user reads, without the first line. */
function problemsOf(config: LabConfig): string {
  try {
    checkConfig(config);
  } catch (error) {
    expect(pulumi.RunError.isInstance(error)).toBe(true);
    const [first, ...problems] = (error as Error).message.split("\n  ");
    expect(first).toBe("nothing was changed, because");
    return problems.join("\n  ");
  }
  throw new Error("it is allowed");
}

test("the defaults are the lab's constants", () => {
  expect(checkConfig(defaults)).toEqual({
    stack: "dev",
    orchestrator: "docker",
    registry: "",
    registryUser: "",
    registryPassword: "",
    placement: "",
    publishMode: "host",
    nodeCount: 2,
    subnet: "192.168.42.0/24",
    namePrefix: "",
    publishAddress: "127.0.0.1",
    adminAddress: "127.0.0.1",
    statsPassword: "",
    httpPort: 80,
    statsPort: 1936,
    adminPort: 9999,
    balancers: 1,
    secondStatsPort: 1937,
    secondAdminPort: 9998,
    nodePorts: 4000,
    serverTimeout: 1000,
    stickySessions: true,
    rollingSteps: 4,
    readyTimeout: 60,
  });
});

test.each(["", "a", "lab-", "lab.", "my_lab__", "a--b", "1"])(
  "prefix %j is allowed",
  (namePrefix) => {
    expect(checkConfig({ ...defaults, namePrefix })).toMatchObject({ namePrefix });
  },
);

test("every key has a description", () => {
  for (const { description } of Object.values(project.config)) expect(description).toBeTruthy();
});

test.each<[Partial<LabConfig>, string]>([
  [
    { nodeCount: 0 },
    "nodeCount: got 0, expected a number of nodes that 192.168.42.0/24 holds, from 1 to 212",
  ],
  [
    { nodeCount: -1 },
    "nodeCount: got -1, expected a number of nodes that 192.168.42.0/24 holds, from 1 to 212",
  ],
  [
    { nodeCount: 213 },
    "nodeCount: got 213, expected a number of nodes that 192.168.42.0/24 holds, from 1 to 212",
  ],
  [
    { nodeCount: 2.5 },
    "nodeCount: got 2.5, expected a number of nodes that 192.168.42.0/24 holds, from 1 to 212",
  ],
  [
    { subnet: "192.168.42.5/24" },
    'subnet: got "192.168.42.5/24", expected its network address, 192.168.42.0/24',
  ],
  [
    { namePrefix: "a b" },
    'namePrefix: got "a b", expected nothing, or up to 31 of a-z 0-9, after them . _ __ or dashes',
  ],
  [
    { namePrefix: "a..b" },
    'namePrefix: got "a..b", expected nothing, or up to 31 of a-z 0-9, after them . _ __ or dashes',
  ],
  [
    { namePrefix: "a".repeat(100) },
    `namePrefix: got "${"a".repeat(79)}…, expected nothing, or up to 31 of a-z 0-9, after them . _ __ or dashes`,
  ],
  [
    { stack: "-x" },
    'stack: got "-x", expected a name that can be an image\'s tag: it begins with a letter, a digit or _',
  ],
  [
    { subnet: "127.0.0.0/24" },
    'subnet: got "127.0.0.0/24", expected an IPv4 network such as 192.168.42.0/24, from a /20 to a /26, not reserved or loopback',
  ],
  [
    { subnet: "10.0.0.0/27" },
    'subnet: got "10.0.0.0/27", expected an IPv4 network such as 192.168.42.0/24, from a /20 to a /26',
  ],
  [
    { publishAddress: "localhost" },
    'publishAddress: got "localhost", expected an IPv4 address of this host, or 0.0.0.0 for all',
  ],
  [
    { adminAddress: "" },
    'adminAddress: got "", expected an IPv4 address of this host, or 0.0.0.0 for all',
  ],
  [
    { adminAddress: "0.0.0.0" },
    'statsPassword: got "", expected 8 to 72 printable ASCII characters, because adminAddress ' +
      "0.0.0.0 is not a loopback address; set it with: npx pulumi config set --secret statsPassword",
  ],
  ...["1234567", "x".repeat(73), "pässword", "pass\nword"].map(
    (statsPassword): [Partial<LabConfig>, string] => [
      { statsPassword },
      `statsPassword: got "[${statsPassword.length} characters]", expected 8 to 72 printable ASCII ` +
        "characters; set it with: npx pulumi config set --secret statsPassword",
    ],
  ),
  [{ httpPort: 0 }, "httpPort: got 0, expected a port from 1 to 65535"],
  [{ balancers: 0 }, "balancers: got 0, expected a number of balancers from 1 to 2"],
  [{ balancers: 3 }, "balancers: got 3, expected a number of balancers from 1 to 2"],
  [
    { balancers: 2, secondStatsPort: 80 },
    "secondStatsPort: got 80, expected a port that httpPort does not have: set one of the two to another port",
  ],
  [
    { balancers: 2, secondAdminPort: 4001 },
    "secondAdminPort: got 4001, expected a port outside the nodes' own 4000-4001",
  ],
  [{ balancers: 2, secondAdminPort: 0 }, "secondAdminPort: got 0, expected a port from 1 to 65535"],
  [{ adminPort: 65536 }, "adminPort: got 65536, expected a port from 1 to 65535"],
  [
    { statsPort: 80 },
    "statsPort: got 80, expected a port that httpPort does not have: set one of the two to another port",
  ],
  [{ httpPort: 4001 }, "httpPort: got 4001, expected a port outside the nodes' own 4000-4001"],
  [
    { nodePorts: 65535 },
    "nodePorts: got 65535, expected 0, or a first port from 1 to 65534 for 2 nodes",
  ],
  [{ nodePorts: -1 }, "nodePorts: got -1, expected 0, or a first port from 1 to 65534 for 2 nodes"],
  [{ serverTimeout: 99 }, "serverTimeout: got 99, expected milliseconds from 100 to 60000"],
  [{ rollingSteps: 0 }, "rollingSteps: got 0, expected a number of steps from 1 to 10"],
  [{ readyTimeout: 0 }, "readyTimeout: got 0, expected seconds from 1 to 3600"],
])("%j is refused", (change, problem) => {
  expect(problemsOf({ ...defaults, ...change })).toBe(problem);
});

test("all problems are named at once", () => {
  expect(problemsOf({ ...defaults, nodeCount: -1, httpPort: 0, readyTimeout: Infinity })).toBe(
    "nodeCount: got -1, expected a number of nodes that 192.168.42.0/24 holds, from 1 to 212\n" +
      "  httpPort: got 0, expected a port from 1 to 65535\n" +
      "  readyTimeout: got Infinity, expected seconds from 1 to 3600",
  );
});

test.each<[Partial<LabConfig>, RegExp | undefined]>([
  [{}, undefined],
  [{ subnet: "10.1.2.0/24", adminAddress: "127.0.0.2" }, undefined],
  [{ subnet: "172.31.240.0/20" }, undefined],
  [{ statsPassword: "~".repeat(72) }, undefined],
  [{ subnet: "100.127.0.0/20" }, undefined],
  [
    { subnet: "8.8.8.0/24" },
    /^subnet: 8\.8\.8\.0\/24 is public: .* a private one is in 10\.0\.0\.0\/8/,
  ],
  [{ subnet: "172.32.0.0/20" }, /^subnet: 172\.32\.0\.0\/20 is public/],
  [
    { adminAddress: "0.0.0.0", statsPassword: "12345678" },
    /^adminAddress: 0\.0\.0\.0 opens HAProxy's admin CLI .* npx pulumi config rm adminAddress$/,
  ],
])("%j is allowed, with a warning where it is seldom meant", (change, warning) => {
  const warnings = listWarnings(checkConfig({ ...defaults, ...change }));
  expect(warnings).toEqual(warning ? [expect.stringMatching(warning)] : []);
});

test("unpublished nodes leave their ports to others", () => {
  expect(checkConfig({ ...defaults, nodePorts: 0, httpPort: 4001 })).toMatchObject({
    httpPort: 4001,
  });
});

/** Values as the CLI passes them to the program, all as text; some near to what is allowed. */
const text = fc.oneof(
  fc.constantFrom(
    "",
    " ",
    "0",
    "-1",
    "1",
    "80",
    "1e400",
    "-0",
    "NaN",
    "0x10",
    "1e3",
    "true",
    "null",
  ),
  fc.constantFrom(
    "10.0.0.0/24",
    "10.0.0.0/99",
    "999.0.0.0/24",
    "0.0.0.0",
    "[]",
    "{}",
    "a\nb",
    "__proto__",
  ),
  fc.integer().map(String),
  fc.double().map(String),
  fc.boolean().map(String),
  fc.ipV4(),
  fc.ipV4Extended().chain((ip) => fc.nat(40).map((prefix) => `${ip}/${prefix}`)),
  fc.string({ unit: "binary" }),
  fc.nat(20_000).map((length) => "x".repeat(length)),
);
const keys = Object.keys(project.config);

test("no value of any key does anything but pass or be refused in a few clean lines", async () => {
  await pulumi.runtime.setMocks({ newResource: () => ({ id: "", state: {} }), call: () => ({}) });
  const changes = fc.dictionary(fc.constantFrom(...keys), text);
  fc.assert(
    fc.property(changes, (change) => {
      for (const key of keys) {
        const value = change[key] ?? String(project.config[key].default);
        pulumi.runtime.setConfig(`project:${key}`, value);
      }
      try {
        const config = readConfig();
        expect(config.nodeCount).toBeGreaterThan(0);
      } catch (error) {
        if (!pulumi.RunError.isInstance(error)) throw error;
        // Pulumi's own words for a wrong type; the CLI says so before it starts the program.
        if (
          /^Configuration '[\w:]+' value '[^]*' is not a valid (number|boolean)$/.test(
            error.message,
          )
        )
          return;
        for (const problem of error.message.split("\n").slice(1)) {
          expect(problem).toMatch(/^ {2}\w+: got .+, expected .+/);
        }
      }
    }),
    { numRuns: 2000 },
  );
});

test("a password in plain text is refused without being shown", () => {
  const values = { ...defaults, statsPassword: "correct horse" };
  const config = keys.map((key) => [`project:${key}`, String(values[key as keyof LabConfig])]);
  pulumi.runtime.setAllConfig(Object.fromEntries(config) as Record<string, string>);
  expect(readConfig).toThrow(
    new Error(
      'nothing was changed, because\n  statsPassword: got "[13 characters]", expected a secret; ' +
        "set it with: npx pulumi config set --secret statsPassword",
    ),
  );
  process.env.PULUMI_CONFIG_SECRET_KEYS = '["project:statsPassword"]';
  expect(readConfig()).toMatchObject({ statsPassword: "correct horse" });
  delete process.env.PULUMI_CONFIG_SECRET_KEYS;
});

test("a key that there is not is refused, with those that there are", () => {
  const config = { ...defaults, nodecount: 3, "nested.key": "x" };
  const { stack, ...keys } = config;
  pulumi.runtime.setAllConfig({
    ...Object.fromEntries(
      Object.entries(keys).map(([key, value]) => [`project:${key}`, String(value)]),
    ),
    "docker:host": "another provider's",
  });
  const known =
    "orchestrator, nodeCount, subnet, namePrefix, publishAddress, adminAddress, statsPassword, httpPort, statsPort, " +
    "adminPort, balancers, secondStatsPort, secondAdminPort, nodePorts, serverTimeout, stickySessions, rollingSteps, " +
    "readyTimeout, registry, registryUser, registryPassword, placement, publishMode";
  expect(stack).toBe("dev");
  expect(readConfig).toThrow(
    new Error(
      "nothing was changed, because\n" +
        `  nodecount: there is no such key; there is ${known}\n` +
        `  nested.key: there is no such key; there is ${known}`,
    ),
  );
});

test("a Swarm's configuration is refused with every key that does not fit it", () => {
  expect(checkConfig(SWARM_LAB)).toBe(SWARM_LAB);
  const bad = {
    ...SWARM_LAB,
    statsPassword: "",
    balancers: 2,
    nodePorts: 5000,
    registry: "http://registry.test/",
    registryUser: "",
    registryPassword: "",
    placement: "everywhere",
    publishMode: "mesh" as LabConfig["publishMode"],
  };
  expect(() => checkConfig(bad)).toThrow(
    new Error(
      [
        "nothing was changed, because",
        'statsPassword: got "", expected 8 to 72 printable ASCII characters, because a Swarm opens the stats page on every address of its engines; set it with: npx pulumi config set --secret statsPassword',
        'registry: got "http://registry.test/", expected the host, and port, of a registry that every engine of the Swarm reaches',
        'registryUser: got "", expected the user who may push to the registry',
        'registryPassword: got "", expected that user\'s password; set it with: npx pulumi config set --secret registryPassword',
        'placement: got "everywhere", expected nothing, or a constraint such as node.labels.disk==ssd',
        'publishMode: got "mesh", expected one of host, ingress',
        "balancers: got 2, expected 1: a Swarm has a balancer on every engine",
        "nodePorts: got 5000, expected 0: on a Swarm no node has a port of the host",
      ].join("\n  "),
    ),
  );
  // No port of its is at an address of the host that could be another one.
  expect(listWarnings({ ...SWARM_LAB, adminAddress: "0.0.0.0" })).toEqual([]);
  const unknown = { ...LAB, orchestrator: "nomad" as LabConfig["orchestrator"] };
  expect(() => checkConfig(unknown)).toThrow(
    'orchestrator: got "nomad", expected one of docker, swarm',
  );
});
