import * as pulumi from "@pulumi/pulumi";
import { readFileSync } from "node:fs";
import type { LabConfig } from "../../config/labConfig";
import { revisionOf } from "../../configurator/protocol/declaration";
import { planTopology } from "../../config/topology";
import declareLab from "../../index";
import { secret } from "../../providers/pluginServer";
import { renderFor } from "../support/golden";
import { LAB, SWARM_LAB } from "../support/labConfig";

jest.mock("../../preflight/missingImages", () => ({
  countRebuilds: () => Promise.resolve({ webapp: 2 }),
}));
let mockRunning: string[];
jest.mock("../../preflight/preflight", () => ({
  preflight: () => Promise.resolve(new Set(mockRunning)),
}));

jest.mock("../../docker/connect", () => ({
  readPlatform: () => Promise.resolve("linux/s390x"),
  readSwarmAddress: () => Promise.resolve("10.0.0.11"),
}));

/** A resource as the program registered it. */
interface Registered {
  type: string;
  name: string;
  inputs: Record<string, unknown>;
}

/** Runs index.ts with mocks in place of the engine; gives what it registered, in order of name and in its own. */
async function runProgram({ stack, ...config }: LabConfig, running = ["s1"]) {
  mockRunning = running;
  const registered: Registered[] = [];
  await pulumi.runtime.setMocks(
    {
      newResource: ({ type, name, inputs, custom }) => {
        if (custom) registered.push({ type, name, inputs: inputs as Registered["inputs"] });
        const hash = secret(`${name} hash`);
        const made = { repoDigest: `sha256:${name}`, key: `${name} key`, hash };
        return { id: `${name}-id`, state: { ...inputs, ...made } as object };
      },
      call: () => ({}),
    },
    "dynamic-scaling-lab",
    stack,
  );
  for (const [key, value] of Object.entries(config)) {
    pulumi.runtime.setConfig(`dynamic-scaling-lab:${key}`, String(value));
  }
  const outputs = await declareLab();
  await pulumi.runtime.disconnect();
  const key = ({ name, type }: Registered) => `${name} ${type}`;
  const order = registered.map(({ name }) => name);
  return { registered: registered.sort((a, b) => key(a).localeCompare(key(b))), order, outputs };
}

function image(name: string, args: Record<string, string>): Registered {
  const build = {
    context: `images/${name}`,
    dockerfile: `images/${name}/Dockerfile`,
    args,
    platform: "linux/s390x",
  };
  // buildOnPreview is the SDK's own default.
  const inputs = { imageName: `x-lab-${name}:test`, skipPush: true, build, buildOnPreview: false };
  return { type: "docker:index/image:Image", name, inputs };
}

function container(
  name: string,
  member: {
    role: string;
    image: string;
    memory: number;
    ip: string;
    ports: [number, number, string][];
  },
): Registered {
  return {
    type: "docker:index/container:Container",
    name,
    inputs: {
      name: `x-${name}`,
      image: member.image,
      hostname: name,
      envs: [`ROLE=${member.role}`, `TAG=${name}`, "ORIGIN=pulumi"],
      labels: [
        { label: "dynamic-scaling-lab.stack", value: "test" },
        { label: "dynamic-scaling-lab.role", value: member.role },
      ],
      networksAdvanced: [{ name: "x-heig", ipv4Address: member.ip, aliases: [name, "members"] }],
      ports: member.ports.map(([internal, external, ip]) => ({ internal, external, ip })),
      restart: "unless-stopped",
      destroyGraceSeconds: 10,
      uploads: [{ file: "/etc/serf/key", content: "gossip key", permissions: "0600" }],
      capabilities: { drops: ["ALL"], adds: ["CAP_KILL", "CAP_SETGID", "CAP_SETUID"] },
      securityOpts: ["no-new-privileges"],
      memory: member.memory,
      memorySwap: member.memory,
      logDriver: "json-file",
      logOpts: { "max-size": "10m", "max-file": "3" },
    },
  };
}

const proxy = {
  template: readFileSync("haproxy/haproxy.cfg.hbs", "utf8"),
  settings: planTopology(LAB).balancers[0].proxy,
};

function group(n: number, containers: Record<string, string>): Registered {
  return {
    type: "lab:index:NodesReady",
    name: `group${n}`,
    inputs: { balancers: ["x-ha", "x-ha1", "x-ha2"], containers, __proxies: { "x-ha": proxy } },
  };
}

const onBase = { BASE: "x-lab-base:test", BASE_ID: "sha256:base" };

test("the program declares the whole lab", async () => {
  const { registered, outputs } = await runProgram(LAB);
  const { __declaration: declaration, ...config } = registered.find(
    ({ name }) => name === "haproxy.cfg",
  )!.inputs;
  expect(registered.filter(({ name }) => name !== "haproxy.cfg")).toEqual([
    image("base", { STACK: "test" }),
    { type: "lab:index:GossipKey", name: "gossip", inputs: {} },
    group(1, { s1: "s1-id" }),
    group(2, { s2: "s2-id" }),
    group(3, {}),
    container("ha", {
      role: "balancer",
      image: "sha256:ha",
      memory: 1024,
      ip: "10.20.30.42",
      ports: [
        [80, 8080, "127.0.0.1"],
        [1936, 8081, "127.0.0.2"],
        [9999, 8082, "127.0.0.2"],
      ],
    }),
    image("ha", onBase),
    {
      type: "lab:index:HandMadeNodes",
      name: "handMade",
      inputs: { network: "heig-id", label: "dynamic-scaling-lab.hand" },
    },
    {
      type: "docker:index/network:Network",
      name: "heig",
      inputs: {
        name: "x-heig",
        driver: "bridge",
        ipamConfigs: [
          { subnet: "10.20.30.0/24", gateway: "10.20.30.1", ipRange: "10.20.30.224/27" },
        ],
        labels: [{ label: "dynamic-scaling-lab.stack", value: "test" }],
      },
    },
    container("s1", {
      role: "backend",
      image: "sha256:webapp",
      memory: 256,
      ip: "10.20.30.11",
      ports: [[3000, 8100, "127.0.0.1"]],
    }),
    container("s2", {
      role: "backend",
      image: "sha256:webapp",
      memory: 256,
      ip: "10.20.30.12",
      ports: [[3000, 8101, "127.0.0.1"]],
    }),
    image("webapp", { ...onBase, REBUILD: "2" }),
  ]);
  expect(config).toEqual({
    container: "ha-id",
    text: renderFor(LAB),
    backends: { s1: "s1-id", s2: "s2-id" },
  });
  expect(declaration).toEqual({
    template: readFileSync("haproxy/haproxy.cfg.hbs", "utf8"),
    settings: {
      ports: { http: 80, stats: 1936, admin: 9999 },
      subnet: "10.20.30.0/24",
      gateway: "10.20.30.1",
      serverTimeoutMs: 1500,
      healthPath: "/health",
      checkIntervalMs: 500,
      checkTimeoutMs: 1000,
      hardStopSeconds: 30,
      stickySessions: true,
      statsAuth: false,
      byName: false,
    },
    nodes: [
      { name: "s1", address: "10.20.30.11", port: 3000 },
      { name: "s2", address: "10.20.30.12", port: 3000 },
    ],
    handMade: { range: "10.20.30.224/27", port: 3000 },
  });
  expect(outputs).toEqual({
    url: "http://127.0.0.1:8080",
    statsUrl: "http://127.0.0.2:8081",
    adminAddress: "127.0.0.2:8082",
    balancerAddress: "10.20.30.42",
    nodeNames: ["s1", "s2"],
    nodeAddresses: { s1: "10.20.30.11", s2: "10.20.30.12" },
    nodeUrls: ["http://127.0.0.1:8100", "http://127.0.0.1:8101"],
  });
});

test("one more node is one more container and another declaration, all else is the same", async () => {
  const two = (await runProgram(LAB)).registered;
  const three = (await runProgram({ ...LAB, nodeCount: 3 })).registered;
  const withoutConfig = (all: Registered[]) => all.filter(({ name }) => name !== "haproxy.cfg");
  const group3 = two.findIndex(({ name }) => name === "group3");
  two[group3] = group(3, { s3: "s3-id" });
  expect(withoutConfig(three).filter(({ name }) => name !== "s3")).toEqual(withoutConfig(two));
  const [before, after] = [two, three].map(
    (all) => all.find(({ name }) => name === "haproxy.cfg")!.inputs.__declaration,
  );
  expect(revisionOf(after as never)).not.toBe(revisionOf(before as never));
});

test("two balancers live in the network of a front, and the first waits for the second", async () => {
  const one = (await runProgram(LAB)).registered;
  const { registered, outputs } = await runProgram({ ...LAB, balancers: 2 });
  const find = (name: string, type: string) =>
    registered.find((it) => it.name === name && it.type.endsWith(type))!.inputs;
  const balancer = (name: string) =>
    container(name, { role: "balancer", image: "sha256:ha", memory: 1024, ip: "", ports: [] })
      .inputs;
  const labels = (role: string) => [
    { label: "dynamic-scaling-lab.stack", value: "test" },
    { label: "dynamic-scaling-lab.role", value: role },
  ];
  const volumes = [{ volumeName: "x-ha", containerPath: "/run/front" }];
  const own = ["hostname", "networksAdvanced", "ports"];
  const same = Object.entries(balancer("ha1")).filter(([key]) => !own.includes(key));
  const joined = { ...Object.fromEntries(same), networkMode: "container:ha-id", volumes };
  expect(find("ha1", "Container")).toEqual({
    ...joined,
    envs: [
      ...["ROLE=balancer", "TAG=ha1", "ORIGIN=pulumi", "AGENT_NAME=ha1", "GOSSIP_PORT=7946"],
      ...["SERF_RPC_ADDR=127.0.0.1:7373", "PEER=ha2", "PEER_GOSSIP_PORT=7947"],
    ],
  });
  expect(find("ha2", "Container")).toEqual({
    ...joined,
    name: "x-ha2",
    envs: [
      ...["ROLE=balancer", "TAG=ha2", "ORIGIN=pulumi", "AGENT_NAME=ha2", "GOSSIP_PORT=7947"],
      ...["SERF_RPC_ADDR=127.0.0.1:7374", "PEER=ha1", "PEER_GOSSIP_PORT=7946"],
    ],
  });
  expect(find("ha", "Container")).toMatchObject({
    image: "sha256:front",
    labels: labels("front"),
    sysctls: { "net.ipv4.tcp_migrate_req": "1" },
    volumes,
    capabilities: { drops: ["ALL"], adds: [] },
    networksAdvanced: [{ name: "x-heig", ipv4Address: "10.20.30.42", aliases: ["ha", "members"] }],
  });
  expect(find("ha", "Container")).not.toHaveProperty("uploads");
  expect(find("front", "Image")).toEqual(image("front", {}).inputs);
  const before = one.find(({ name }) => name === "haproxy.cfg")!.inputs;
  expect(find("ha1-haproxy.cfg", "HaproxyConfig")).toEqual({ ...before, container: "ha1-id" });
  expect(find("ha2-haproxy.cfg", "HaproxyConfig").text).toBe(
    (before.text as string).replace("bind :1936", "bind :1937").replace("bind :9999", "bind :9998"),
  );
  expect(outputs).toMatchObject({
    statsUrl: "http://127.0.0.2:8081",
    adminAddress: "127.0.0.2:8082",
    secondStatsUrl: "http://127.0.0.2:8083",
    secondAdminAddress: "127.0.0.2:8084",
  });
  const shared = one
    .map(({ name }) => name)
    .filter((name) => !/^(ha|group\d|haproxy.cfg)$/.test(name));
  for (const name of shared)
    expect(registered.filter((it) => it.name === name)).toEqual(
      one.filter((it) => it.name === name),
    );
});

test.each([
  [["s1", "ha1", "ha2"], "ha2", "ha1"],
  [["s1", "ha1"], "ha2", "ha1"],
  [["s1", "ha2"], "ha1", "ha2"],
])("where %j run, %s is replaced before %s", async (running, first, second) => {
  const { order } = await runProgram({ ...LAB, balancers: 2 }, running);
  expect(order.filter((name) => /^ha\d/.test(name))).toEqual(
    [first, second].flatMap((name) => [name, `${name}-haproxy.cfg`]),
  );
});

test("a statistics' password goes to its resource, and its hash to HAProxy's, both as secrets", async () => {
  process.env.PULUMI_CONFIG_SECRET_KEYS = '["dynamic-scaling-lab:statsPassword"]';
  const lab = { ...LAB, statsPassword: "correct horse" };
  const { registered, outputs } = await runProgram(lab);
  delete process.env.PULUMI_CONFIG_SECRET_KEYS;
  const made = registered.filter(({ type }) => type === "lab:index:StatsPassword");
  expect(made.map(({ inputs }) => inputs)).toEqual([{ password: secret("correct horse") }]);
  const { __declaration, ...config } = registered.find(
    ({ name }) => name === "haproxy.cfg",
  )!.inputs;
  expect(config).toEqual({
    container: "ha-id",
    text: renderFor(lab),
    backends: { s1: "s1-id", s2: "s2-id" },
    statsPasswordHash: secret("stats hash"),
  });
  expect(JSON.stringify([__declaration, outputs])).not.toMatch(/horse|stats hash/);
  const others = registered.filter((resource) => resource !== made[0]).map(({ name }) => name);
  expect(others).toEqual((await runProgram(LAB)).registered.map(({ name }) => name));
});

test("a configuration that is not allowed declares nothing", async () => {
  await expect(runProgram({ ...LAB, nodeCount: -1 })).rejects.toThrow(
    /^nothing was changed, because\n {2}nodeCount/,
  );
});

describe("on a Swarm", () => {
  const KEYS = ["statsPassword", "registryPassword"];
  /** Named after the key. */
  const gossipSecret = "x-heig-gossip-bf7c2f8ed9a4";

  async function runOnSwarm(change: Partial<LabConfig> = {}) {
    process.env.PULUMI_CONFIG_SECRET_KEYS = JSON.stringify(
      KEYS.map((key) => `dynamic-scaling-lab:${key}`),
    );
    try {
      return await runProgram({ ...SWARM_LAB, ...change });
    } finally {
      delete process.env.PULUMI_CONFIG_SECRET_KEYS;
    }
  }

  const node = (name: string) => ({
    type: "docker:index/service:Service",
    name,
    inputs: {
      name: `x-${name}`,
      labels: [{ label: "dynamic-scaling-lab.stack", value: "test" }],
      mode: { replicated: { replicas: 1 } },
      updateConfig: {
        order: "stop-first",
        parallelism: 1,
        delay: "0s",
        monitor: "5s",
        failureAction: "pause",
      },
      endpointSpec: { mode: "dnsrr" },
      auth: secret({
        serverAddress: "registry.test:5000",
        username: "someone",
        password: "no one knows",
      }),
      taskSpec: {
        containerSpec: {
          image: "sha256:webapp",
          hostname: name,
          env: { ROLE: "backend", TAG: name, ORIGIN: "pulumi", ORCHESTRATOR: "swarm" },
          capDrops: ["ALL"],
          capAdds: ["CAP_KILL", "CAP_SETGID", "CAP_SETUID"],
          secrets: [
            {
              secretId: "gossip-id",
              secretName: gossipSecret,
              fileName: "/etc/serf/key",
              fileMode: 0o400,
              fileUid: "0",
              fileGid: "0",
            },
          ],
          stopGracePeriod: "10s",
        },
        networksAdvanceds: [{ id: "heig-id", aliases: ["members", name] }],
        restartPolicy: { condition: "any", delay: "1s", window: "0s" },
        resources: { limits: { memoryBytes: 256 * 2 ** 20 } },
        placement: {
          constraints: ["node.labels.disk==ssd"],
          platforms: [{ os: "linux", architecture: "s390x" }],
        },
        logDriver: { name: "json-file", options: { "max-size": "10m", "max-file": "3" } },
      },
    },
  });

  test("a node is a service, and one more is one service and one server line more", async () => {
    const [two, three] = [await runOnSwarm(), await runOnSwarm({ nodeCount: 3 })];
    const services = ({ registered }: typeof two) =>
      registered.filter(({ type, name }) => type.endsWith(":Service") && name !== "ha");
    expect(services(two)).toEqual([node("s1"), node("s2")]);
    expect(services(three)).toEqual([node("s1"), node("s2"), node("s3")]);
    const changing = ["s3", "haproxy.cfg", "group1", "group2", "group3"];
    const rest = ({ registered }: typeof two) =>
      registered.filter(({ name }) => !changing.includes(name));
    expect(rest(three)).toEqual(rest(two));
    const lines = ({ registered }: typeof two) =>
      (registered.find(({ name }) => name === "haproxy.cfg")!.inputs.text as string).split("\n");
    expect(lines(three).filter((line) => !lines(two).includes(line))).toEqual([
      "  server s3 s3:3000 guid s3 check inter 500 fastinter 100 downinter 100 fall 2 rise 1 " +
        "observe layer4 error-limit 3 on-error sudden-death",
    ]);
  });

  test("a balancer is on every engine, with its declaration, the key and the password's hash", async () => {
    const { registered, outputs } = await runOnSwarm();
    expect(outputs).toEqual({
      url: "http://10.0.0.11:8080",
      statsUrl: "http://10.0.0.11:8081",
      balancerAddress: "ha",
      nodeNames: ["s1", "s2"],
      nodeAddresses: { s1: "s1", s2: "s2" },
      nodeUrls: [],
    });
    const named = (name: string) =>
      registered.find((it) => it.name === name && !it.type.endsWith(":Image"))!.inputs;
    const service = named("ha") as ReturnType<typeof node>["inputs"];
    expect({ ...service, taskSpec: undefined, auth: undefined }).toEqual({
      name: "x-ha",
      labels: [{ label: "dynamic-scaling-lab.stack", value: "test" }],
      mode: { global: true },
      updateConfig: {
        order: "stop-first",
        parallelism: 1,
        delay: "5s",
        monitor: "5s",
        failureAction: "rollback",
      },
      endpointSpec: {
        mode: "dnsrr",
        ports: [
          { targetPort: 80, publishedPort: 8080, publishMode: "host", protocol: "tcp" },
          { targetPort: 1936, publishedPort: 8081, publishMode: "host", protocol: "tcp" },
        ],
      },
      taskSpec: undefined,
      auth: undefined,
    });
    expect(service.taskSpec.containerSpec).toMatchObject({
      hostname: "ha-{{.Node.Hostname}}",
      env: { ROLE: "balancer", ORCHESTRATOR: "swarm" },
      secrets: [
        { fileName: "/etc/serf/key", fileMode: 0o400 },
        { fileName: "/etc/lab/stats-password-hash", fileMode: 0o400 },
      ],
      configs: [{ configId: "declaration-id", fileName: "/etc/lab/declaration.json" }],
    });
    const { data } = named("declaration") as { data: string };
    expect(JSON.parse(Buffer.from(data, "base64").toString())).toEqual({
      template: proxy.template,
      settings: planTopology(SWARM_LAB).balancers[0].proxy,
      nodes: [],
      handMade: { range: "10.20.30.0/24", port: 3000 },
    });
  });

  test("no password and no key is anywhere but in secrets", async () => {
    const { registered, outputs } = await runOnSwarm();
    const isSecret = (value: unknown): boolean =>
      typeof value === "object" && value !== null && "4dabf18193072939515e22adb298388d" in value;
    const strip = (value: unknown): unknown => {
      if (isSecret(value)) return "secret";
      if (Array.isArray(value)) return value.map(strip);
      if (typeof value !== "object" || value === null) return value;
      return Object.fromEntries(Object.entries(value).map(([key, it]) => [key, strip(it)]));
    };
    const plain = JSON.stringify(strip([registered, outputs]));
    expect(plain).not.toMatch(/not for others|no one knows/);
    expect(plain).not.toContain(Buffer.from("stats hash").toString("base64"));
  });
});
