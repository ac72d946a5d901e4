import { readFileSync } from "node:fs";
import type Docker from "dockerode";
import {
  CONTAINER,
  ContainerInputs,
  toContainerState,
  toCreateOptions,
  toEndpoint,
  toUpdateOptions,
  toUploadedFile,
} from "../../providers/docker/containerOptions";
import { parseDuration } from "../../providers/docker/duration";
import { network, NetworkInputs, toNetworkOptions } from "../../providers/docker/network";
import { checkInputs } from "../../providers/docker/properties";

function inputs(values: Partial<ContainerInputs>): ContainerInputs {
  const checked = checkInputs(CONTAINER, { name: "c", image: "i", ...values });
  expect(checked.failures).toEqual([]);
  return checked.inputs as ContainerInputs;
}

/** What is asked for, as the engine gets it: without what is not set. */
function asked(values: Partial<ContainerInputs>): unknown {
  return JSON.parse(JSON.stringify(toCreateOptions(inputs(values))));
}

const plain = {
  name: "c",
  Image: "i",
  HostConfig: {
    NetworkMode: "bridge",
    RestartPolicy: { Name: "no" },
    Memory: 0,
    LogConfig: { Type: "", Config: {} },
  },
};

test.each<[string, Partial<ContainerInputs>, object, object]>([
  ["nothing more", {}, {}, {}],
  [
    "names and the process",
    {
      hostname: "h",
      command: ["a", "b"],
      envs: ["A=1"],
      labels: [{ label: "l", value: "v" }],
      stopTimeout: 10,
    },
    {
      Hostname: "h",
      Cmd: ["a", "b"],
      Env: ["A=1"],
      Labels: { l: "v" },
      StopTimeout: 10,
    },
    {},
  ],
  [
    "ports, of which two share one inside",
    {
      ports: [
        { internal: 80, external: 1, ip: "127.0.0.1", protocol: "tcp" },
        { internal: 80, external: 2, ip: "127.0.0.1", protocol: "tcp" },
        { internal: 53, ip: "0.0.0.0", protocol: "udp" },
      ],
    },
    { ExposedPorts: { "80/tcp": {}, "53/udp": {} } },
    {
      PortBindings: {
        "80/tcp": [
          { HostIp: "127.0.0.1", HostPort: "1" },
          { HostIp: "127.0.0.1", HostPort: "2" },
        ],
        "53/udp": [{ HostIp: "0.0.0.0", HostPort: "" }],
      },
    },
  ],
  [
    "limits",
    {
      restart: "on-failure",
      memory: 64,
      memorySwap: -1,
    },
    {},
    {
      RestartPolicy: { Name: "on-failure" },
      Memory: 64 * 2 ** 20,
      MemorySwap: -1,
    },
  ],
  [
    "rights",
    {
      capabilities: { adds: ["CAP_KILL"], drops: ["ALL"] },
      securityOpts: ["no-new-privileges"],
      init: true,
    },
    {},
    {
      CapAdd: ["CAP_KILL"],
      CapDrop: ["ALL"],
      SecurityOpt: ["no-new-privileges"],
      Init: true,
    },
  ],
  [
    "a volume",
    { volumes: [{ volumeName: "v", containerPath: "/a" }] },
    { Volumes: { "/a": {} } },
    { Binds: ["v:/a:rw"] },
  ],
  [
    "another container's network, and one with a kernel setting of its own",
    { networkMode: "container:1", sysctls: { "net.ipv4.tcp_migrate_req": "1" } },
    {},
    { NetworkMode: "container:1", Sysctls: { "net.ipv4.tcp_migrate_req": "1" } },
  ],
  [
    "logs and health",
    {
      logDriver: "json-file",
      logOpts: { "max-size": "1m" },
      healthcheck: {
        tests: ["CMD", "true"],
        interval: "90s",
        timeout: "500ms",
        startPeriod: "0s",
        startInterval: "0s",
        retries: 3,
      },
    },
    {
      Healthcheck: {
        Test: ["CMD", "true"],
        Interval: 90e9,
        Timeout: 500e6,
        StartPeriod: 0,
        Retries: 3,
      },
    },
    { LogConfig: { Type: "json-file", Config: { "max-size": "1m" } } },
  ],
])("asks the engine for %s", (_, values, config, host) => {
  expect(asked(values)).toEqual({
    ...plain,
    ...config,
    HostConfig: { ...plain.HostConfig, ...host },
  });
});

test("connects with the addresses and aliases that were asked for", () => {
  expect(toEndpoint({ name: "n", aliases: ["a"], ipv4Address: "10.0.0.2" })).toEqual({
    Aliases: ["a"],
    IPAMConfig: { IPv4Address: "10.0.0.2" },
  });
});

test("an update leaves the swap limit alone unless it is set", () => {
  expect(toUpdateOptions(inputs({ memory: 64 })).MemorySwap).toBeUndefined();
  expect(toUpdateOptions(inputs({ memory: 64, memorySwap: 64 })).MemorySwap).toBe(64 * 2 ** 20);
});

test.each<[string, number | undefined]>([
  ["0s", 0],
  ["500ms", 500e6],
  ["90s", 90e9],
  ["1m30s", undefined],
  ["5", undefined],
  ["5 s", undefined],
  ["", undefined],
])("reads the duration %p", (text, nanoseconds) => {
  expect(parseDuration(text)).toBe(nanoseconds);
});

test.each([
  [
    { file: "/a/b", content: "x" },
    { name: "a/b", mode: 0o644, content: Buffer.from("x") },
  ],
  [
    { file: "/../a", content: "", permissions: "0600" },
    { name: "a", mode: 0o600, content: Buffer.from("") },
  ],
])("uploads %p", (upload, file) => {
  expect(toUploadedFile(upload)).toEqual(file);
});

test("a stopped container's state wants it running again, with its ports", () => {
  const info = {
    Id: "1",
    Name: "/c",
    Image: "sha256:1",
    Config: { Hostname: "h", Healthcheck: { Interval: 90e9, Timeout: 500e6 } },
    HostConfig: { MemorySwap: -1 },
    NetworkSettings: { Networks: {}, Ports: {} },
    State: { Running: false, ExitCode: 137 },
  };
  const wanted = inputs({ ports: [{ internal: 80, external: 1, ip: "::", protocol: "tcp" }] });
  expect(toContainerState(info as never, wanted)).toMatchObject({
    name: "c",
    mustRun: false,
    ports: [],
    exitCode: 137,
    memorySwap: -1,
    healthcheck: { interval: "90s", timeout: "500ms", startPeriod: "0s", startInterval: "0s" },
  });
});

test("asks the engine for a network", () => {
  const network: NetworkInputs = {
    name: "n",
    driver: "bridge",
    ipamDriver: "default",
    ipamConfigs: [{ subnet: "10.0.0.0/24", gateway: "10.0.0.1", ipRange: "10.0.0.128/25" }],
    labels: [{ label: "l", value: "v" }],
  };
  expect(JSON.parse(JSON.stringify(toNetworkOptions(network)))).toEqual({
    Name: "n",
    CheckDuplicate: true,
    Driver: "bridge",
    IPAM: {
      Driver: "default",
      Config: [{ Subnet: "10.0.0.0/24", Gateway: "10.0.0.1", IPRange: "10.0.0.128/25" }],
    },
    Labels: { l: "v" },
  });
});

test("a network of the official plugin's, read here, is one that it takes back", async () => {
  const file = "test/support/recorded/state-resources.json";
  const resources = JSON.parse(readFileSync(file, "utf8")) as {
    id: string;
    type: string;
    inputs: NetworkInputs;
    outputs: Record<string, unknown>;
  }[];
  const { id, inputs, outputs } = resources.find(({ type }) => type.endsWith(":Network"))!;
  // As the engine has it after the recorded program.
  const found = {
    Id: id,
    Name: "rec-heig",
    Driver: "bridge",
    Scope: "local",
    Internal: false,
    Attachable: false,
    Ingress: false,
    EnableIPv6: false,
    IPAM: {
      Driver: "default",
      Config: [
        { Subnet: "192.168.46.0/24", Gateway: "192.168.46.1", IPRange: "192.168.46.224/27" },
      ],
    },
    Options: {},
    Labels: { lab: "rec" },
  };
  const engine = { getNetwork: () => ({ inspect: () => Promise.resolve(found) }) };
  const networks = network(() => engine as unknown as Docker);
  // The official plugin panics on a note of its framework's beside a state that it does not fit.
  const { __pulumi_raw_state_delta: note, ...state } = outputs;
  expect(note).toBeDefined();
  const { signal } = new AbortController();
  const context = { preview: false, signal, log: () => undefined };
  expect(await networks.read(id, outputs, inputs, context as never)).toEqual({ id, inputs, state });
});
