import * as pulumi from "@pulumi/pulumi";
import { readFileSync } from "node:fs";
import type { LabConfig } from "../../config/labConfig";
import { revisionOf } from "../../configurator/protocol/declaration";
import { planTopology } from "../../config/topology";
import declareLab from "../../index";
import { secret } from "../../providers/pluginServer";
import { renderFor } from "../support/golden";
import { LAB } from "../support/labConfig";

jest.mock("../../bundles/imagePrograms", () => ({ bundlePrograms: jest.fn() }));
jest.mock("../../preflight/missingImages", () => ({
  countRebuilds: () => Promise.resolve({ webapp: 2 }),
}));
jest.mock("../../preflight/preflight", () => ({
  preflight: () => Promise.resolve(new Set(["s1"])),
}));

jest.mock("../../docker/engine", () => ({ readPlatform: () => Promise.resolve("linux/s390x") }));

/** A resource as the program registered it. */
interface Registered {
  type: string;
  name: string;
  inputs: Record<string, unknown>;
}

/** Runs index.ts with mocks in place of the engine; gives what it registered, in order of name. */
async function runProgram({ stack, ...config }: LabConfig) {
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
  return { registered: registered.sort((a, b) => key(a).localeCompare(key(b))), outputs };
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
  settings: planTopology(LAB).proxy,
};

function group(n: number, containers: Record<string, string>): Registered {
  return {
    type: "lab:index:NodesReady",
    name: `group${n}`,
    inputs: { balancer: "x-ha", containers, __proxy: proxy },
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
