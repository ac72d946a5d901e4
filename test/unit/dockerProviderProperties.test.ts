import { CONTAINER } from "../../providers/docker/containerOptions";
import { checkImage } from "../../providers/docker/image";
import { NETWORK } from "../../providers/docker/network";
import {
  Values,
  checkInputs,
  diffProperties,
  planState,
  readInputs,
} from "../../providers/docker/properties";
import { checkSettings } from "../../providers/docker/settings";
import { UNKNOWN } from "../../providers/pluginServer";

const install =
  "is not implemented by the offline provider; install the official plugin with " +
  "`pulumi plugin install resource docker 5.2.0`";

test.each<[string, Values, { property: string; reason: string }[]]>([
  [
    "a property of the official plugin",
    { gpus: "all" },
    [{ property: "gpus", reason: `property "gpus" ${install}` }],
  ],
  [
    "a nested one",
    { ports: [{ internal: 80 }, { internal: 81, hostIp: "::1" }] },
    [{ property: "ports[1].hostIp", reason: `property "ports[1].hostIp" ${install}` }],
  ],
  [
    "a wrong type",
    { memory: "64", envs: "A=1", healthcheck: [] },
    [
      { property: "memory", reason: 'property "memory" must be a number, not "64"' },
      { property: "envs", reason: 'property "envs" must be a list, not "A=1"' },
      { property: "healthcheck", reason: 'property "healthcheck" must be an object, not []' },
    ],
  ],
  [
    "a wrong value in a map",
    { logOpts: { "max.file": 1 } },
    [
      {
        property: 'logOpts["max.file"]',
        reason: 'property "logOpts["max.file"]" must be a string, not 1',
      },
    ],
  ],
  [
    "what is missing",
    { image: undefined, ports: [{}] },
    [
      { property: "ports[0].internal", reason: 'property "ports[0].internal" is required' },
      { property: "image", reason: 'property "image" is required' },
    ],
  ],
  ["unknown values are fine anywhere", { memory: UNKNOWN, envs: [UNKNOWN] }, []],
])("refuses %s", (_, values, failures) => {
  expect(checkInputs(CONTAINER, { name: "c", image: "i", ...values }).failures).toEqual(failures);
});

test("fills in the defaults of the official plugin and notes them", () => {
  const news = {
    name: "c",
    image: "i",
    ports: [{ internal: 80 }],
    healthcheck: { tests: ["CMD"] },
  };
  expect(checkInputs(CONTAINER, news)).toEqual({
    failures: [],
    inputs: {
      __defaults: [
        "containerReadRefreshTimeoutMilliseconds",
        "mustRun",
        "networkMode",
        "removeVolumes",
        "restart",
        "start",
        "waitTimeout",
      ],
      name: "c",
      image: "i",
      ports: [{ __defaults: ["ip", "protocol"], internal: 80, ip: "0.0.0.0", protocol: "tcp" }],
      healthcheck: {
        __defaults: ["interval", "startInterval", "startPeriod", "timeout"],
        tests: ["CMD"],
        interval: "0s",
        startInterval: "0s",
        startPeriod: "0s",
        timeout: "0s",
      },
      containerReadRefreshTimeoutMilliseconds: 15000,
      mustRun: true,
      networkMode: "bridge",
      removeVolumes: true,
      restart: "no",
      start: true,
      waitTimeout: 60,
    },
  });
});

test.each<[string, Values, Values, Record<string, string>]>([
  ["nothing", { envs: ["A=1"] }, { envs: ["A=1"] }, {}],
  ["the order of a set", { envs: ["A=1", "B=2"] }, { envs: ["B=2", "A=1"] }, {}],
  [
    "the order of a list",
    { command: ["a", "b"] },
    { command: ["b", "a"] },
    replaced("command[0]", "command[1]"),
  ],
  ["an element of a set", { envs: ["A=1", "X=a"] }, { envs: ["A=1", "X=b"] }, replaced("envs[1]")],
  ["a new element", { envs: ["A=1"] }, { envs: ["B=2", "A=1"] }, { "envs[0]": "add-replace" }],
  ["an element gone", { envs: ["B=2", "A=1"] }, { envs: ["A=1"] }, { "envs[0]": "delete-replace" }],
  [
    "a field of an element",
    { ports: [port(80, 1)] },
    { ports: [port(80, 2)] },
    replaced("ports[0].external"),
  ],
  ["a port that the engine chose", { ports: [port(80, 32768)] }, { ports: [port(80)] }, {}],
  [
    "ports of a stopped container",
    { ports: [] },
    { ports: [port(80, 1)] },
    { ports: "add-replace" },
  ],
  ["what the engine decides", { hostname: "3f", envs: ["A=1"] }, {}, {}],
  ["what it does not decide", { memorySwap: 128, memory: 0 }, {}, { memorySwap: "delete" }],
  ["false and unset", { wait: false, init: null }, { init: false }, {}],
  [
    "in place",
    { restart: "no", memory: 1 },
    { restart: "always", memory: 2 },
    { restart: "update", memory: "update" },
  ],
  [
    "inside what is in place",
    { healthcheck: { retries: 1 } },
    { healthcheck: { retries: 2 } },
    { "healthcheck.retries": "update" },
  ],
  [
    "a map",
    { logOpts: { "max-size": "1m", a: "b" } },
    { logOpts: { "max-size": "2m" } },
    { "logOpts.max-size": "update-replace", "logOpts.a": "delete-replace" },
  ],
  [
    "a key with dots",
    { logOpts: { "a.b": "1" } },
    { logOpts: { "a.b": "2" } },
    replaced('logOpts["a.b"]'),
  ],
  [
    "an unknown value",
    { image: "sha256:1", restart: "no" },
    { image: UNKNOWN, restart: "no" },
    replaced("image"),
  ],
  ["an unknown element", { envs: ["A=1"] }, { envs: [UNKNOWN] }, replaced("envs[0]")],
  [
    "notes of defaults",
    { labels: [{ label: "a", value: "b" }] },
    { labels: [{ __defaults: [], label: "a", value: "b" }] },
    {},
  ],
])("sees a change of %s", (_, state, news, detailed) => {
  const changes = Object.keys(detailed).length > 0;
  expect(diffProperties(CONTAINER, state, news)).toEqual({ changes, detailed });
});

function replaced(...paths: string[]): Record<string, string> {
  return Object.fromEntries(paths.map((path) => [path, "update-replace"]));
}

function port(internal: number, external?: number) {
  return { internal, external, ip: "0.0.0.0", protocol: "tcp" };
}

test.each(["image", "name", "envs", "ports", "labels", "uploads", "networksAdvanced", "hostname"])(
  "a container is replaced for its %s",
  (key) => expect(CONTAINER[key].inPlace).toBeUndefined(),
);

test.each(["restart", "memory", "memorySwap", "wait"])(
  "a container keeps running for its %s",
  (key) => expect(CONTAINER[key].inPlace).toBe(true),
);

test.each(Object.keys(NETWORK))("a network is replaced for its %s", (key) => {
  expect(NETWORK[key].inPlace).toBeUndefined();
});

describe("inputs after a refresh", () => {
  const inputs = { __defaults: [], name: "c", ports: [port(80)], mustRun: true, memory: 64 };

  test("stay what the program wrote where the engine agrees", () => {
    const state = { ...inputs, ports: [port(80, 32768)], hostname: "3f" };
    expect(readInputs(CONTAINER, inputs, state)).toEqual(inputs);
  });

  test("become what the engine says where it does not", () => {
    const state = { name: "c", ports: [], mustRun: false, memory: 32 };
    expect(readInputs(CONTAINER, inputs, state)).toEqual({
      __defaults: [],
      name: "c",
      mustRun: false,
      memory: 32,
    });
  });

  test("are all that is set in an import", () => {
    const state = { id: "1", name: "n", driver: "bridge", ipv6: false, labels: [] };
    expect(readInputs(NETWORK, undefined, state)).toEqual({
      name: "n",
      driver: "bridge",
    });
  });
});

test("a planned state has the inputs without notes, and what is not known yet", () => {
  const inputs = { __defaults: ["restart"], name: "c", ports: [{ __defaults: [], internal: 80 }] };
  expect(planState(inputs, ["bridge"])).toEqual({
    name: "c",
    ports: [{ internal: 80 }],
    bridge: UNKNOWN,
  });
});

test.each<[string, Values, string]>([
  ["pushing", { skipPush: false }, `property "skipPush: false" ${install}`],
  ["building in a preview", { buildOnPreview: true }, `property "buildOnPreview: true" ${install}`],
  [
    "a registry without a password",
    { registry: { server: "r", username: "u" } },
    'property "registry.password" is required',
  ],
  ["a cache", { build: { cacheFrom: {} } }, `property "build.cacheFrom" ${install}`],
  [
    "a Dockerfile that is not there",
    { build: { context: "test/support/recorded/images/base", dockerfile: "Dockerfile" } },
    `there is no Dockerfile "Dockerfile" in ${process.cwd()}; ` +
      'try setting "dockerfile" to "test/support/recorded/images/base/Dockerfile"',
  ],
])("an image refuses %s", (_, values, reason) => {
  const { failures } = checkImage({ imageName: "i", skipPush: true, ...values });
  expect(failures.map((failure) => failure.reason)).toEqual([reason]);
});

test("the provider's own settings are refused unless they say what the environment says", () => {
  const settings = { version: "5.2.0", host: "tcp://a:1", registryAuth: "[]" };
  const found = (env: NodeJS.ProcessEnv) => checkSettings(settings, env).map((f) => f.property);
  expect(found({ DOCKER_HOST: "tcp://a:1" })).toEqual(["registryAuth"]);
  expect(found({})).toEqual(["host", "registryAuth"]);
});
