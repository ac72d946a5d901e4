import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import fc from "fast-check";
import { complaintOf } from "../../preflight/checkTemplate";
import type { DeclaredLab, Host } from "../../preflight/host";
import { listRunning, listStopped } from "../../preflight/ownContainers";
import { findProblems, preflight } from "../../preflight/preflight";
import type { LabConfig } from "../../config/labConfig";
import { planTopology } from "../../config/topology";
import { LAB, SWARM_LAB } from "../support/labConfig";

function declared(change: Partial<LabConfig> = {}): DeclaredLab {
  const config = { ...LAB, ...change };
  const topology = planTopology(config);
  const servers = topology.nodes.map(({ name, address }) => ({ name, address, port: 3000 }));
  return { config, topology, servers };
}

const engine = {
  address: "unix:///var/run/docker.sock",
  source: "the default",
  version: "20.10.24",
  api: "1.41",
  kernel: "5.10.0-19-amd64",
};

type Network = Host["networks"][number];

/** The lab's own if the stack is the declared lab's; {@link theirs} makes it another checkout's. */
const network = (name: string, stack?: string, ...subnets: string[]): Network => ({
  name,
  stack,
  own: stack === "test",
  subnets,
});

/** An engine that holds nothing but what every engine has. */
const bare: Host = {
  engine,
  networks: [network("bridge", undefined, "172.17.0.0/16", "fd00::/80"), network("host")],
  containers: [],
  refused: {},
};

type Container = Host["containers"][number];

const container = (name: string, stack?: string, ...ports: Container["ports"]): Container => ({
  name,
  stack,
  claim: stack === "test" ? "recorded" : undefined,
  state: ports.length > 0 ? "running" : "exited",
  ports,
  configured: name === "x-ha",
});

/** The same things of a lab that another checkout has under the same stack's name. */
const theirs = ({ networks, containers, ...host }: Host): Host => ({
  ...host,
  networks: networks.map((network) => ({ ...network, own: false })),
  containers: containers.map((container) => ({ ...container, claim: undefined })),
});
const at = (ip: string, port: number) => ({ ip, port });

/** The lab of {@link LAB} as it runs. */
const deployed: Host = {
  ...bare,
  networks: [...bare.networks, network("x-heig", "test", "10.20.30.0/24")],
  containers: [
    container("x-ha", "test", at("127.0.0.1", 8080), at("127.0.0.2", 8081), at("127.0.0.2", 8082)),
    container("x-s1", "test", at("127.0.0.1", 8100)),
    container("x-s2", "test", at("127.0.0.1", 8101)),
  ],
  // The host lets nobody else listen where the lab does.
  refused: Object.fromEntries(
    ["127.0.0.1:8080", "127.0.0.2:8081", "127.0.0.2:8082", "127.0.0.1:8100", "127.0.0.1:8101"].map(
      (port) => [port, "EADDRINUSE"],
    ),
  ),
};

/** A node that `npm run node -- add` made, without a host port. */
const hand = (name: string, address: string, network = "x-heig", stack = "test"): Container => ({
  ...container(`x-${name}`, stack),
  claim: stack === "test" ? "byHand" : undefined,
  hand: name,
  addresses: { bridge: "172.17.0.9", [network]: address },
});
const withHandMade = (...nodes: Container[]): Partial<Host> => ({
  ...deployed,
  containers: [...deployed.containers, ...nodes],
});

test.each<[string, Partial<LabConfig>, Partial<Host>]>([
  ["a bare engine", {}, {}],
  ["the lab itself", {}, deployed],
  ["the lab itself, with one more node", { nodeCount: 3 }, deployed],
  ["the lab itself, a port moving to another container", { nodePorts: 8101 }, deployed],
  ["the lab itself, ports changing places", { httpPort: 8081, statsPort: 8080 }, deployed],
  ["the lab itself, on every address", { publishAddress: "0.0.0.0" }, deployed],
  ["the lab itself, under another prefix", { namePrefix: "y-" }, deployed],
  ["the lab itself, in a part of its subnet", { subnet: "10.20.30.0/26" }, deployed],
  ["a node added by hand", { nodeCount: 8 }, withHandMade(hand("s9", "10.20.30.254"))],
  [
    "a node added by hand to another stack's lab",
    { nodeCount: 9, namePrefix: "y-", subnet: "10.20.40.0/24", httpPort: 8090, nodePorts: 8200 },
    withHandMade(hand("s9", "10.20.30.254", "x-heig", "other")),
  ],
  [
    "a node added by hand to the lab of another checkout's stack of that name",
    { nodeCount: 9 },
    {
      ...deployed,
      networks: [
        ...deployed.networks,
        { ...network("y-heig", "test", "10.20.31.0/24"), own: false },
      ],
      containers: [
        ...deployed.containers,
        { ...hand("s9", "10.20.31.254", "y-heig"), name: "y-s9", claim: undefined },
      ],
    },
  ],
  ["a newer engine", {}, { engine: { ...engine, version: "29.0.1", api: "1.152" } }],
  [
    "a neighbour",
    {},
    {
      networks: [network("other", "dev", "10.20.31.0/24", "10.20.29.0/24")],
      containers: [
        container("ha", "dev", at("127.0.0.2", 8080), at("::", 8080)),
        container("x-s3", undefined, at("127.0.0.1", 8102)),
      ],
    },
  ],
  [
    "a port that needs more rights to listen on, which Docker has",
    { httpPort: 80 },
    { refused: { "127.0.0.1:80": "EACCES" } },
  ],
  [
    "a kernel that gives waiting connections to the other balancer",
    { balancers: 2 },
    { engine: { ...engine, kernel: "5.14.0-1-amd64" } },
  ],
  ["an old kernel, for one balancer", { balancers: 1 }, {}],
  ["unpublished nodes", { nodePorts: 0 }, { refused: { "127.0.0.1:8100": "EADDRINUSE" } }],
])("%s is no problem", (_, change, host) => {
  expect(findProblems(declared(change), { ...bare, ...host })).toEqual([]);
});

test.each<[Partial<LabConfig>, Partial<Host>, string[]]>([
  [
    {},
    { engine: { ...engine, version: "19.03.15", api: "1.40" } },
    [
      "the Docker engine at unix:///var/run/docker.sock (the default) is version 19.03.15 with API 1.40; " +
        "allowed is 20.10 with API 1.41 or newer",
    ],
  ],
  [
    {},
    { engine: { ...engine, version: "1.13.1", api: "1.5" } },
    [
      "the Docker engine at unix:///var/run/docker.sock (the default) is version 1.13.1 with API 1.5; " +
        "allowed is 20.10 with API 1.41 or newer",
    ],
  ],
  [
    { subnet: "172.17.4.0/24" },
    {},
    [
      'subnet: got "172.17.4.0/24", expected ' +
        "a subnet that no other Docker network overlaps (network bridge has 172.17.0.0/16)",
    ],
  ],
  [
    { subnet: "10.20.0.0/20" },
    {
      networks: [
        network("a", undefined, "10.20.15.128/25"),
        network("b", "dev", "10.20.16.0/24", "10.20.0.9/32"),
        network("c", undefined, "10.20.1.0/24", "10.20.2.0/24"),
      ],
    },
    [
      'subnet: got "10.20.0.0/20", expected a subnet that no other Docker network overlaps ' +
        "(network a has 10.20.15.128/25, network b of stack dev has 10.20.0.9/32, " +
        "network c has 10.20.1.0/24, 1 more)",
    ],
  ],
  [
    {},
    { networks: [network("x-heig")], containers: [container("x-s2")] },
    [
      'namePrefix: got "x-", expected a prefix whose names are free, or remove what holds them ' +
        "(network x-heig, container x-s2)",
    ],
  ],
  [
    { stack: "second", httpPort: 8090, adminPort: 8092 },
    theirs(deployed),
    [
      'subnet: got "10.20.30.0/24", expected a subnet that no other Docker network overlaps ' +
        "(network x-heig of stack test has 10.20.30.0/24)",
      'namePrefix: got "x-", expected a prefix whose names are free, or remove what holds them ' +
        "(network x-heig of stack test, container x-ha of stack test, container x-s1 of stack test, 1 more)",
      "statsPort: got 8081, expected a free port " +
        "(container x-ha of stack test publishes 127.0.0.2:8081)",
      "nodePorts: got 8100, expected the first of as many free ports " +
        "(container x-s1 of stack test publishes 127.0.0.1:8100, " +
        "container x-s2 of stack test publishes 127.0.0.1:8101)",
    ],
  ],
  [
    { httpPort: 8090, statsPort: 8091, nodePorts: 0 },
    theirs(deployed),
    [
      'subnet: got "10.20.30.0/24", expected a subnet that no other Docker network overlaps ' +
        "(network x-heig of another checkout's stack test has 10.20.30.0/24)",
      'namePrefix: got "x-", expected a prefix whose names are free, or remove what holds them ' +
        "(network x-heig of another checkout's stack test, " +
        "container x-ha of another checkout's stack test, " +
        "container x-s1 of another checkout's stack test, 1 more)",
      "adminPort: got 8082, expected a free port " +
        "(container x-ha of another checkout's stack test publishes 127.0.0.2:8082)",
    ],
  ],
  [
    { nodeCount: 3 },
    { ...deployed, containers: [...deployed.containers, { ...container("x-s3"), claim: "left" }] },
    [
      "x-s3: an interrupted update made it, and no state records it; " +
        "clear it away with: npm run repair -- --stack test",
    ],
  ],
  [
    { nodeCount: 9 },
    withHandMade(hand("s9", "10.20.30.254"), hand("s10", "10.20.30.253")),
    [
      "nodeCount: got 9, expected a number whose names and addresses no node added by hand has " +
        "(s9 at 10.20.30.254), or run: npm run node -- remove s9 --stack test",
    ],
  ],
  [
    { nodeCount: 3 },
    withHandMade(hand("extra", "10.20.30.13"), hand("other", "10.20.30.42")),
    [
      "nodeCount: got 3, expected a number whose names and addresses no node added by hand has " +
        "(extra at 10.20.30.13, other at 10.20.30.42), or run: " +
        "npm run node -- remove extra other --stack test",
    ],
  ],
  [
    { balancers: 2 },
    {},
    [
      "balancers: got 2, expected 1 while the engine's kernel is 5.10.0-19-amd64: 2 need 5.14 or newer " +
        "(net.ipv4.tcp_migrate_req)",
    ],
  ],
  [
    { balancers: 2 },
    { ...withHandMade(hand("ha1", "10.20.30.254")), engine: { ...engine, kernel: "6.1.0" } },
    [
      "balancers: got 2, expected 1 while a node added by hand has a balancer's name " +
        "(ha1 at 10.20.30.254), or run: npm run node -- remove ha1 --stack test",
    ],
  ],
  [
    { balancers: 2 },
    {
      engine: { ...engine, kernel: "6.1.0" },
      containers: [container("x-ha2", "other", at("127.0.0.2", 8084))],
      refused: { "127.0.0.2:8083": "EADDRINUSE" },
    },
    [
      'namePrefix: got "x-", expected a prefix whose names are free, or remove what holds them ' +
        "(container x-ha2 of stack other)",
      "secondStatsPort: got 8083, expected a free port (another program on this host has 127.0.0.2:8083)",
      "secondAdminPort: got 8084, expected a free port " +
        "(container x-ha2 of stack other publishes 127.0.0.2:8084)",
    ],
  ],
  [
    { subnet: "10.20.40.0/24" },
    withHandMade(hand("s9", "10.20.30.254")),
    [
      'subnet: got "10.20.40.0/24", expected the network of the nodes added by hand ' +
        "(s9 at 10.20.30.254), or run: npm run node -- remove s9 --stack test",
    ],
  ],
  [
    { namePrefix: "y-" },
    withHandMade(hand("s9", "10.20.30.254"), hand("s10", "10.20.30.253")),
    [
      'namePrefix: got "y-", expected the prefix of the nodes added by hand ' +
        "(s9 at 10.20.30.254, s10 at 10.20.30.253), or run: " +
        "npm run node -- remove s9 s10 --stack test",
    ],
  ],
  [
    {},
    { containers: [container("web", undefined, at("0.0.0.0", 8080))] },
    ["httpPort: got 8080, expected a free port (container web publishes 127.0.0.1:8080)"],
  ],
  [
    { adminAddress: "0.0.0.0" },
    { containers: [container("web", "dev", at("192.168.1.4", 8082))] },
    [
      "adminPort: got 8082, expected a free port (container web of stack dev publishes 0.0.0.0:8082)",
    ],
  ],
  [
    {},
    { refused: { "127.0.0.1:8080": "EADDRINUSE", "127.0.0.1:8101": "EADDRINUSE" } },
    [
      "httpPort: got 8080, expected a free port (another program on this host has 127.0.0.1:8080)",
      "nodePorts: got 8100, expected the first of as many free ports " +
        "(another program on this host has 127.0.0.1:8101)",
    ],
  ],
  [
    { nodeCount: 3 },
    { ...deployed, refused: { ...deployed.refused, "127.0.0.1:8102": "EADDRINUSE" } },
    [
      "nodePorts: got 8100, expected the first of as many free ports " +
        "(another program on this host has 127.0.0.1:8102)",
    ],
  ],
  [
    { publishAddress: "10.9.9.9" },
    { refused: { "10.9.9.9:8080": "EADDRNOTAVAIL", "10.9.9.9:8100": "EADDRNOTAVAIL" } },
    ['publishAddress: got "10.9.9.9", expected an IPv4 address of this host, or 0.0.0.0 for all'],
  ],
  [
    { adminAddress: "10.9.9.9" },
    { refused: { "10.9.9.9:8081": "EADDRNOTAVAIL", "10.9.9.9:8082": "EADDRNOTAVAIL" } },
    ['adminAddress: got "10.9.9.9", expected an IPv4 address of this host, or 0.0.0.0 for all'],
  ],
])("%j: what is in the way is named", (change, host, problems) => {
  expect(findProblems(declared(change), { ...bare, ...host })).toEqual(problems);
});

test("whatever the stack itself holds is in nobody's way", () => {
  const own = fc.record({
    subnet: fc.constantFrom("10.20.30.0/24", "10.20.0.0/16", "172.16.0.0/12"),
    name: fc.constantFrom("x-ha", "x-s1", "x-s2", "other"),
    ports: fc.array(
      fc.record({
        ip: fc.constantFrom("0.0.0.0", "127.0.0.1", "127.0.0.2"),
        port: fc.integer({ min: 8079, max: 8103 }),
      }),
    ),
  });
  fc.assert(
    fc.property(own, ({ subnet, name, ports }) => {
      const host = {
        ...bare,
        networks: [network("x-heig", "test", subnet)],
        containers: [container(name, "test", ...ports)],
      };
      expect(findProblems(declared(), host)).toEqual([]);
    }),
  );
});

test("HAProxy's own lines are kept, its summary is not", () => {
  const stderr = `[NOTICE]   (69) : haproxy version is 3.0.11-1+deb13u3
[NOTICE]   (69) : path to executable is /usr/sbin/haproxy
[WARNING]  (69) : config : missing timeouts for frontend 'x'.
   | While not properly invalid, you will certainly encounter various problems
[ALERT]    (69) : config : parsing [/dev/stdin:50] : unknown keyword 'balanc' in 'backend' section
[ALERT]    (69) : config : Proxy 'x': unable to find required default_backend: 'nope'.
[ALERT]    (69) : config : Error(s) found in configuration file : /dev/stdin
[ALERT]    (69) : config : Fatal errors found in configuration.
`;
  expect(complaintOf(stderr)).toBe(`haproxy/haproxy.cfg.hbs: haproxy -c refuses what it renders
  parsing [haproxy.cfg:50] : unknown keyword 'balanc' in 'backend' section
  Proxy 'x': unable to find required default_backend: 'nope'.`);
});

test("an engine that does not answer is named by its address and what chose it", async () => {
  const before = process.env.DOCKER_HOST;
  process.env.DOCKER_HOST = "unix:///nonexistent/docker.sock";
  try {
    await expect(preflight(declared())).rejects.toMatchObject({
      message:
        "nothing was changed, because\n" +
        "  the Docker engine at unix:///nonexistent/docker.sock (DOCKER_HOST): " +
        "connect ENOENT /nonexistent/docker.sock",
      __pulumiRunError: true,
    });
  } finally {
    if (before === undefined) delete process.env.DOCKER_HOST;
    else process.env.DOCKER_HOST = before;
  }
});

test("the nodes and balancers that run are those of the lab's own containers that do", () => {
  const lab = declared();
  const others = [container("x-s1", "other", at("127.0.0.1", 1)), container("y-s1", "test")];
  const listed = (containers: Container[]) => [...listRunning(lab, { ...bare, containers })];
  expect(listed(deployed.containers)).toEqual(["s1", "s2", "ha"]);
  expect(listed(deployed.containers.slice(0, 2))).toEqual(["s1", "ha"]);
  expect(listed(others)).toEqual([]);
  expect(listed([container("x-s1", "test")])).toEqual([]);
  expect(listed(theirs(deployed).containers)).toEqual([]);
});

test("a balancer without a recorded haproxy.cfg does not run", () => {
  const balancer = (name: string) => ({
    ...container(`x-${name}`, "test"),
    state: "running",
    configured: name === "ha2",
  });
  const containers = ["ha", "ha1", "ha2"].map(balancer);
  expect([...listRunning(declared({ balancers: 2 }), { ...bare, containers })]).toEqual(["ha2"]);
});

test("what stands still of the lab's own is named with what starts it", () => {
  const stopped = (name: string, state: string, stack = "test") => ({
    ...container(name, stack),
    state,
  });
  const containers = [
    stopped("x-ha", "exited"),
    stopped("x-s1", "paused"),
    stopped("x-s2", "restarting"),
    stopped("x-s9", "exited"),
  ];
  expect(listStopped(declared(), { ...bare, containers })).toEqual([
    "ha does not run, its container x-ha is exited; start it with: " +
      "npx pulumi up --refresh --stack test (or, as it was: docker start x-ha)",
    "s1 does not run, its container x-s1 is paused; start it with: docker unpause x-s1",
  ]);
  expect(listStopped(declared(), deployed)).toEqual([]);
  const foreign = [stopped("x-ha", "exited", "other")];
  expect(listStopped(declared(), { ...bare, containers: foreign })).toEqual([]);
});

test("more nodes than the kernel has neighbours for are refused, with what raises it", () => {
  const problems = (nodeCount: number, neighbours?: number) =>
    findProblems(declared({ nodeCount, nodePorts: 0 }), { ...bare, neighbours });
  expect(problems(31, 1024)).toEqual([]);
  expect(problems(200)).toEqual([]);
  expect(problems(32, 1024)).toEqual([
    "nodeCount: got 32, expected 31 at most while this host's kernel keeps 1024 neighbours, " +
      "or first run as root: sysctl -w net.ipv4.neigh.default.gc_thresh1=2178 " +
      "net.ipv4.neigh.default.gc_thresh2=2178 net.ipv4.neigh.default.gc_thresh3=2178",
  ]);
});

test("an engine that accepts a connection and says nothing is given up on", async () => {
  const silent = createServer().listen(0, "127.0.0.1");
  await once(silent, "listening");
  const address = `tcp://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  const before = process.env.DOCKER_HOST;
  process.env.DOCKER_HOST = address;
  jest.useFakeTimers({ doNotFake: ["nextTick", "setImmediate", "queueMicrotask"] });
  try {
    // With a connection of its own: the program has one for all its questions.
    await jest.isolateModulesAsync(async () => {
      const fresh = jest.requireActual<{ preflight: typeof preflight }>(
        "../../preflight/preflight",
      );
      const outcome = expect(fresh.preflight(declared())).rejects.toThrow(
        "nothing was changed, because\n" +
          `  the Docker engine at ${address} (DOCKER_HOST): no answer within 30 s`,
      );
      await once(silent, "connection");
      jest.advanceTimersByTime(30_000);
      await outcome;
    });
  } finally {
    jest.useRealTimers();
    if (before === undefined) delete process.env.DOCKER_HOST;
    else process.env.DOCKER_HOST = before;
    silent.close();
  }
});

describe("on a Swarm", () => {
  const swarm: NonNullable<Host["swarm"]> = {
    state: "active",
    isManager: true,
    availability: "active",
    managers: ["10.0.0.11:2377"],
    engines: [
      { name: "m1", version: "28.2.2" },
      { name: "m2", version: "20.10.24+dfsg1" },
    ],
    services: [{ name: "x-s1", own: true }],
  };
  const where = "the Docker engine at unix:///var/run/docker.sock (the default)";
  const got = 'orchestrator: got "swarm", expected';

  test.each<[string, Partial<NonNullable<Host["swarm"]>>, string[]]>([
    ["a manager with free names and a registry that takes the images", {}, []],
    [
      "an engine in no Swarm",
      { state: "inactive", isManager: false },
      [
        `${got} docker, as ${where} is in no Swarm (inactive); docker swarm init there, or npm run machines for a Swarm on this host`,
      ],
    ],
    [
      "a worker",
      { isManager: false },
      [`${got} swarm with DOCKER_HOST at a manager (10.0.0.11:2377): ${where} is a worker`],
    ],
    [
      "a drained manager",
      { availability: "drain" },
      [`${got} swarm with DOCKER_HOST at a manager that is not drained as ${where}`],
    ],
    [
      "an engine that is too old",
      { engines: [...swarm.engines, { name: "m3", version: "19.03.15" }] },
      [`${got} swarm of engines of version 20.10 or newer (m3 has 19.03.15)`],
    ],
    ["no leader", { error: "no leader" }, [`the Swarm of ${where}: no leader`]],
    [
      "another stack's service",
      { services: [{ name: "x-ha", own: false }] },
      [
        'namePrefix: got "x-", expected a prefix whose names are free, or remove what holds them (service x-ha)',
      ],
    ],
    [
      "a registry that refuses",
      { registryError: "unauthorized" },
      [
        `registry: got "registry.test:5000", expected a registry that ${where} may push to (it says: unauthorized)`,
      ],
    ],
  ])("%s", (_what, change, problems) => {
    const lab = declared(SWARM_LAB);
    const host = { ...bare, swarm: { ...swarm, ...change } };
    expect(findProblems(lab, host)).toEqual(problems);
  });

  test("a node runs whose service is there; on one engine nobody asks", () => {
    expect(listRunning(declared(SWARM_LAB), { ...bare, swarm })).toEqual(new Set(["s1"]));
    expect(findProblems(declared(), bare)).toEqual([]);
  });
});
