/** The offline provider's resources of a Swarm, on an engine that is made up, against what was recorded. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import type Docker from "dockerode";
import { image } from "../../providers/docker/image";
import { network } from "../../providers/docker/network";
import { Values } from "../../providers/docker/properties";
import { secret, serviceConfig } from "../../providers/docker/secret";
import { service } from "../../providers/docker/service";
import { ServiceInfo } from "../../providers/docker/serviceOptions";
import { Context, DiffKind, ResourceType, UNKNOWN } from "../../providers/pluginServer";

const recorded = join(__dirname, "../support/recorded/swarm");
const readJson = (name: string): unknown => JSON.parse(readFileSync(join(recorded, name), "utf8"));

interface Resource {
  urn: string;
  id: string;
  inputs: Values;
  outputs: Values;
}

/** What the official plugin recorded of a resource, without its framework's bookkeeping. */
function record(name: string): Resource {
  const resources = readJson("state-resources.json") as Resource[];
  const found = resources.find(({ urn }) => urn.endsWith(`::${name}`))!;
  delete found.outputs.__pulumi_raw_state_delta;
  if (name === "key") found.inputs.data = found.outputs.data = KEY;
  if (name === "child") {
    found.inputs.registry = { server: SERVER, username: "lab", password: PASSWORD };
    found.outputs.__inputs = expect.anything();
  }
  return found;
}

const KEY = Buffer.from("k3y a").toString("base64");
const SERVER = "172.31.77.20:5000";
const PASSWORD = "pa55w0rd";
const DIGEST = "sha256:e60b8ecb43f1a75f9dd7e1f5c19eb28005be347db5f35d68b3675d00dec30bbb";

/** What the program wrote: the inputs without what was filled in. */
function written<Value>(value: Value): Value {
  if (Array.isArray(value)) return value.map(written) as Value;
  if (typeof value !== "object" || value === null) return value;
  const { __defaults: filled = [], ...rest } = value as Values & { __defaults?: string[] };
  const entries = Object.entries(rest).filter(([key]) => !filled.includes(key));
  return Object.fromEntries(entries.map(([key, item]) => [key, written(item)])) as Value;
}

const asSent = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

const context = (preview = false): Context =>
  ({ preview, signal: new AbortController().signal, log: () => undefined }) as never;

const gone = () => Promise.reject(Object.assign(new Error("not found"), { statusCode: 404 }));

/** An engine that holds what it was asked for, and what it was asked. */
class Engine {
  readonly sent: unknown[] = [];
  /** With what the registry was to be asked, each time. */
  readonly credentials: object[] = [];
  readonly objects = new Map<string, { Spec: Values; [key: string]: unknown }>();
  platforms: Promise<unknown> = Promise.resolve({
    Platforms: [{ architecture: "amd64", os: "linux" }],
  });
  pushed: object[] = [{ status: "Preparing" }, { aux: { Tag: "dev", Digest: DIGEST } }];
  /** How often the engine still shows a container of a service that was removed. */
  containers = 0;
  networks = [
    { Driver: "overlay", Options: null },
    (readJson("inspect-network.json") as [object])[0],
  ];

  private make = (id: string) => (spec: Values) => {
    this.sent.push(asSent(spec));
    const Spec = asSent(spec) as Values & { TaskTemplate?: Values };
    if (Spec.TaskTemplate) Spec.TaskTemplate.Runtime = "container";
    this.objects.set(id, { ID: id, Version: { Index: 7 }, Spec });
    return Promise.resolve({ id });
  };

  private get = (id: string) => ({
    id,
    inspect: () => {
      const found = this.objects.get(id);
      return found ? Promise.resolve(found) : gone();
    },
    remove: () => (this.objects.delete(id) ? Promise.resolve() : gone()),
  });

  connect = (): Docker =>
    ({
      createSecret: (spec: Values) => this.make("key")(spec).then((made) => this.hideData(made)),
      createConfig: (spec: Values) => this.make("config")(spec),
      createService: (auth: object, spec: Values) => {
        this.credentials.push(auth);
        return this.make(`id of ${spec.Name as string}`)(spec);
      },
      createNetwork: (options: Values) => {
        this.sent.push(asSent(options));
        return Promise.resolve({ id: "dbmwbughy516uvrivvwowt9sx" });
      },
      getNetwork: () => ({ inspect: () => Promise.resolve(this.networks.shift()) }),
      getSecret: this.get,
      getConfig: this.get,
      getService: (id: string) => ({
        ...this.get(id),
        update: ({
          authconfig,
          _query,
          _body,
        }: {
          authconfig: object;
          _query: unknown;
          _body: Values;
        }) => {
          this.credentials.push(authconfig);
          this.sent.push(_query);
          return this.make(id)(_body);
        },
      }),
      getImage: (name: string) => ({
        distribution: ({ authconfig }: { authconfig: object }) => {
          this.credentials.push(authconfig);
          return this.platforms;
        },
        push: (options: Values) => {
          this.sent.push(name, asSent({ ...options, abortSignal: undefined }));
          return Promise.resolve(
            Readable.from(this.pushed.map((line) => `${JSON.stringify(line)}\n`)),
          );
        },
      }),
      buildImage: () =>
        Promise.resolve(Readable.from(['{"id":"moby.image.id","aux":{"ID":"sha256:1"}}\n'])),
      listContainers: () => Promise.resolve(Array(Math.max(0, this.containers--))),
    }) as unknown as Docker;

  private hideData(made: { id: string }) {
    delete this.objects.get(made.id)!.Spec.Data;
    return made;
  }
}

let engine: Engine;
let types: Record<string, ResourceType<Values, Values>>;
beforeEach(() => {
  engine = new Engine();
  const services = service(engine.connect);
  types = {
    s1: services,
    ha: services,
    key: secret(engine.connect),
    config: serviceConfig(engine.connect),
    heig: network(engine.connect),
    child: image(engine.connect),
  } as Record<string, ResourceType<object, object>> as typeof types;
  process.chdir(recorded);
});
afterEach(() => process.chdir(join(__dirname, "../..")));

async function check(name: string, news: Values) {
  // Not the program's, but filled in.
  if (name === "child") delete (news.build as Values).contextDigest;
  return types[name].check(written(news), undefined, context());
}

/** The recorded inputs with other values at some paths; undefined takes one away. */
function changed(name: string, changes: Values): Values {
  const { inputs } = record(name);
  for (const [path, value] of Object.entries(changes)) {
    const keys = path.split(/[.[\]]+/).filter((key) => key !== "");
    const last = keys.pop()!;
    const parent = keys.reduce((values, key) => values[key] as Values, inputs);
    if (value === undefined) delete parent[last];
    else parent[last] = value;
  }
  return inputs;
}

/** From what was recorded to what the program wants now. */
async function diff(name: string, news: Values) {
  const { id, inputs, outputs } = record(name);
  return types[name].diff(id, outputs, inputs, news, context());
}

test.each(["s1", "ha", "key", "config", "heig", "child"])(
  "%s has the recorded state",
  async (name) => {
    const { inputs, outputs } = record(name);
    const checked = await check(name, record(name).inputs);
    // The mode of a file, which is part of it, follows the umask of the checkout.
    if (name === "child") (inputs.build as Values).contextDigest = expect.any(String);
    expect(checked).toEqual({ inputs, failures: [] });
    const { id, state } = await types[name].create(checked.inputs, context());
    expect({ ...state, id: undefined }).toEqual({ ...outputs, id: undefined });
    expect([id, name === "child" ? id : state.id]).toEqual([id, id]);
  },
);

test.each(["s1", "ha"])("%s is on the engine what was recorded", async (name) => {
  const services = readJson("inspect-services.json") as ServiceInfo[];
  const { Spec } = services.find((it) => it.Spec.Name === `rec-${name}`)!;
  // Docker's CLI showed what the engine adds, too; the order of these meant nothing.
  const { Runtime, ...task } = Spec.TaskTemplate;
  const { RollbackConfig, ...asked } = Spec;
  expect([Runtime, RollbackConfig?.Order]).toEqual(["container", "stop-first"]);
  task.ContainerSpec!.Env!.sort();
  task.Networks![0].Aliases!.sort();
  await types[name].create(record(name).inputs, context());
  expect(engine.sent).toEqual([
    { ...asked, TaskTemplate: task, UpdateConfig: { ...asked.UpdateConfig, Delay: 0 } },
  ]);
});

test.each<[string, object]>([
  ["key", { Name: "rec-key-a", Labels: { lab: "rec" }, Data: KEY }],
  ["config", { Name: "rec-config-96be93632a8c", Data: "dGVtcGxhdGUgYQo=" }],
  [
    "heig",
    {
      Name: "rec-heig",
      CheckDuplicate: true,
      Driver: "overlay",
      Attachable: true,
      IPAM: { Driver: "default", Config: [{ Subnet: "10.46.0.0/24", Gateway: "10.46.0.1" }] },
      Labels: { lab: "rec" },
    },
  ],
])("asks the engine for %s", async (name, expected) => {
  await types[name].create(record(name).inputs, context());
  expect(engine.sent).toEqual([expected]);
});

test("asks for limits, and for where tasks may run", async () => {
  const news = changed("s1", {
    "taskSpec.resources": { limits: { memoryBytes: 2 ** 28, nanoCpus: 5e8 } },
    "taskSpec.placement": { constraints: ["node.role==manager"], prefs: ["node.id"] },
  });
  const { id, state } = await types.s1.create(news, context());
  const Resources = { Limits: { MemoryBytes: 2 ** 28, NanoCPUs: 5e8 } };
  const Placement = {
    Constraints: ["node.role==manager"],
    Preferences: [{ Spread: { SpreadDescriptor: "node.id" } }],
    Platforms: [{ Architecture: "amd64", OS: "linux" }],
  };
  const sent = () => (engine.sent.at(-1) as ServiceInfo["Spec"]).TaskTemplate;
  expect(sent()).toMatchObject({ Resources, Placement });

  // The platforms, unless the program names them, are an update for the official plugin.
  expect(await types.s1.diff(id, state, news, news, context())).toMatchObject({
    detailed: { "taskSpec.placement.platforms": "delete" },
  });
  const after = await types.s1.update(id, state, news, news, context());
  expect(sent().Placement).toEqual({ ...Placement, Platforms: undefined });
  expect(await types.s1.diff(id, after, news, news, context())).toMatchObject({ detailed: {} });
  (news.taskSpec as { placement: Values }).placement.platforms = [
    { architecture: "amd64", os: "linux" },
  ];
  expect(await types.s1.diff(id, state, news, news, context())).toMatchObject({ detailed: {} });
  await types.s1.update(id, state, news, news, context());
  expect(sent().Placement).toEqual(Placement);
});

test("the engines pull with the program's credentials, which the state keeps", async () => {
  const auth = { serverAddress: "registry.test:5000", username: "lab", password: "secret" };
  const { inputs } = await check("s1", { ...record("s1").inputs, auth });
  const { id, state } = await types.s1.create(inputs, context());
  const after = await types.s1.update(id, state, inputs, inputs, context());
  const read = await types.s1.read(id, after, inputs, context());
  const { serverAddress: serveraddress, ...user } = auth;
  expect(engine.credentials).toEqual(Array(3).fill({ serveraddress, ...user }));
  expect([state.auth, after.auth, read?.state.auth]).toEqual([auth, auth, auth]);
  const other = { ...inputs, auth: { ...auth, password: "another" } };
  expect(await types.s1.diff(id, state, inputs, other, context())).toMatchObject({
    detailed: { "auth.password": "update-replace" },
  });
  expect(JSON.stringify(engine.sent)).not.toContain("secret");
});

test("a service is replaced with its network: Pulumi asks with all that depends on it unknown", async () => {
  expect(await diff("s1", { ...record("s1").inputs, taskSpec: UNKNOWN })).toMatchObject({
    detailed: { taskSpec: "update-replace" },
  });
});

test("an image that the registry does not know runs anywhere", async () => {
  engine.platforms = Promise.reject(new Error("no such host"));
  const { state } = await types.s1.create(record("s1").inputs, context());
  expect(state).toMatchObject({ taskSpec: { placement: { platforms: [] } } });
});

const CONTAINER = "taskSpec.containerSpec";

test.each<[string, string, Values, DiffKind]>([
  ["07, env", "s1", { [`${CONTAINER}.env.X`]: "b" }, "update"],
  ["09, image", "ha", { [`${CONTAINER}.image`]: UNKNOWN }, "update"],
  [
    "12, config",
    "config",
    { name: "rec-config-befaa2624494", data: "dGVtcGxhdGUgYgo=" },
    "update-replace",
  ],
  [
    "12, the service of it",
    "ha",
    {
      [`${CONTAINER}.configs[0].configId`]: UNKNOWN,
      [`${CONTAINER}.configs[0].configName`]: "rec-config-befaa2624494",
    },
    "update",
  ],
  ["14, secret", "key", { name: "rec-key-b", data: "azN5IGI=" }, "update-replace"],
  [
    "14, the services of it",
    "s1",
    {
      [`${CONTAINER}.secrets[0].secretId`]: UNKNOWN,
      [`${CONTAINER}.secrets[0].secretName`]: "rec-key-b",
    },
    "update",
  ],
  ["24, command", "s1", { [`${CONTAINER}.commands[0]`]: "no-such-command" }, "update"],
  ["a network's driver", "heig", { driver: "bridge" }, "update-replace"],
  ["who may attach to a network", "heig", { attachable: undefined }, "delete-replace"],
  ["a service's name", "s1", { name: "other" }, "update-replace"],
  ["its network", "s1", { "taskSpec.networksAdvanceds[0].id": "other" }, "update-replace"],
  ["its alias", "s1", { "taskSpec.networksAdvanceds[0].aliases[1]": "s9" }, "update-replace"],
  ["its containers' label", "s1", { [`${CONTAINER}.labels[0].value`]: "b" }, "update-replace"],
  ["its own label", "s1", { "labels[0].value": "b" }, "update"],
  ["its port", "ha", { "endpointSpec.ports[0].publishedPort": 81 }, "update"],
  [
    "a window left out, which the engine has",
    "s1",
    { "taskSpec.restartPolicy.window": undefined },
    "delete",
  ],
  ["an image's registry", "child", { registry: { server: "b" } }, "update"],
])("sees the change of step %s", async (_, name, changes, kind) => {
  const detailed = Object.fromEntries(Object.keys(changes).map((path) => [path, kind]));
  expect(await diff(name, changed(name, changes))).toMatchObject({ changes: true, detailed });
});

test.each<[string, string, Values]>([
  ["02, no change", "ha", {}],
  ["the order of aliases", "s1", { "taskSpec.networksAdvanceds[0].aliases": ["s1", "members"] }],
  ["who pushes an image", "child", { "registry.username": "b", "registry.password": "c" }],
])("sees no change in step %s", async (_, name, changes) => {
  const none = { changes: false, detailed: {} };
  expect(await diff(name, changed(name, changes))).toMatchObject(none);
});

test("step 09: an image whose build changes is built again in place", async () => {
  const news = changed("child", { "build.args.LINE": "two" });
  expect(await diff("child", news)).toEqual({ changes: true, detailed: { build: "update" } });
});

test.each(["key", "config", "s1"])("the old %s goes first where the name stays", async (name) => {
  const stays = await diff(name, changed(name, { labels: [] }));
  const goes = await diff(name, changed(name, { name: "b" }));
  expect([stays.deleteBeforeReplace, goes.deleteBeforeReplace]).toEqual([true, false]);
});

test("an update says which version it changes, and leaves what the program does not say", async () => {
  const { inputs } = record("s1");
  const { id, state } = await types.s1.create(inputs, context());
  const { TaskTemplate } = (engine.objects.get(id) as never as ServiceInfo).Spec;
  TaskTemplate.ForceUpdate = 3;
  const news = changed("s1", { [`${CONTAINER}.commands`]: ["no-such-command"] });
  const after = await types.s1.update(id, state, inputs, news, context());
  expect(engine.sent).toMatchObject([
    { Name: "rec-s1" },
    { version: 7 },
    {
      TaskTemplate: {
        ContainerSpec: { Command: ["no-such-command"] },
        Placement: { Platforms: [{ Architecture: "amd64", OS: "linux" }] },
        ForceUpdate: 3,
      },
    },
  ]);
  // Step 25: what does not run is recorded all the same.
  expect(await types.s1.diff(id, after, news, news, context())).toMatchObject({ changes: false });
});

test("a network is deleted when the engine does not have it any more", async () => {
  const said: string[] = [];
  const answers = [() => Promise.resolve({}), () => Promise.resolve({}), gone];
  const overlay = {
    remove: () => Promise.resolve(said.push("remove")),
    inspect: () => {
      said.push("inspect");
      return answers.shift()!();
    },
  };
  const networks = network(() => ({ getNetwork: () => overlay }) as unknown as Docker);
  await networks.delete("id", {}, {} as Context);
  expect(said).toEqual(["remove", "inspect", "inspect", "inspect"]);
});

test("steps 18 and 27: what was removed by hand is gone, and deleted without an error", async () => {
  for (const name of ["s1", "key", "config"]) {
    const { inputs, outputs } = record(name);
    const { id } = await types[name].create(inputs, context());
    engine.objects.delete(id);
    expect(await types[name].read(id, outputs, inputs, context())).toBeUndefined();
    await types[name].delete(id, outputs, context());
  }
});

test("steps 21 and 22: a service that was scaled by hand", async () => {
  const { inputs, outputs } = record("s1");
  const { id } = await types.s1.create(inputs, context());
  const { Spec } = engine.objects.get(id) as never as ServiceInfo;
  Spec.Mode = { Replicated: { Replicas: 3 } };
  // Their order means nothing.
  Spec.TaskTemplate.Networks![0].Aliases!.reverse();
  const found = await types.s1.read(id, outputs, inputs, context());
  expect(found?.inputs).toEqual({
    ...inputs,
    mode: { __defaults: [], replicated: { __defaults: [], replicas: 3 } },
  });
  // As in step 18, the official plugin then has an empty value where it had none.
  expect(found?.state).toMatchObject({
    taskSpec: {
      containerSpec: { groups: [], sysctl: {} },
      networksAdvanceds: [{ aliases: ["members", "s1"] }],
    },
    mode: { replicated: { replicas: 3 } },
  });
  expect(await types.s1.diff(id, found!.state, found!.inputs, inputs, context())).toMatchObject({
    detailed: { "mode.replicated.replicas": "update" },
  });
});

test("a secret's data, which the engine does not show, stays what was written", async () => {
  const { inputs, outputs } = record("key");
  const { id } = await types.key.create(inputs, context());
  expect(await types.key.read(id, outputs, inputs, context())).toEqual({
    id,
    inputs,
    state: { ...outputs, id },
  });
});

test("a removed service's containers are waited for, as long as they may take", async () => {
  const { inputs } = record("s1");
  const { id, state } = await types.s1.create(inputs, context());
  engine.containers = 2;
  await types.s1.delete(id, state, context());
  expect([engine.objects.has(id), engine.containers]).toEqual([false, -1]);
});

test("a preview asks nothing and says what is not known", async () => {
  const { inputs } = record("s1");
  const { endpointSpec, labels, ...rest } = inputs;
  expect([endpointSpec, labels]).not.toContain(undefined);
  const planned = await types.s1.create(rest, context(true));
  expect(planned).toMatchObject({
    id: "",
    state: { name: "rec-s1", endpointSpec: UNKNOWN, labels: UNKNOWN },
  });
  expect(await types.s1.update("", { id: "1" }, rest, rest, context(true))).toMatchObject({
    id: "1",
    name: "rec-s1",
  });
  expect(engine.sent).toEqual([]);
});

test("an image is pushed as its user, and used by its digest", async () => {
  const { state } = await types.child.create(record("child").inputs, context());
  expect(engine.sent).toEqual([
    `${SERVER}/rec/child`,
    {
      tag: "dev",
      authconfig: { username: "lab", password: PASSWORD, serveraddress: SERVER },
    },
  ]);
  expect(state.repoDigest).toBe(`${SERVER}/rec/child@${DIGEST}`);
});

test.each<[string, object[], string]>([
  [
    "the registry refuses",
    [{ error: "unauthorized: authentication required" }],
    "unauthorized: authentication required",
  ],
  ["the engine says nothing", [], "the engine gave no digest"],
])("a push fails when %s", async (_, lines, words) => {
  engine.pushed = lines;
  await expect(types.child.create(record("child").inputs, context())).rejects.toThrow(
    new Error(`push of ${SERVER}/rec/child:dev to ${SERVER} failed: ${words}`),
  );
});

test.each<[string, string, Values, string[]]>([
  [
    "what the recorded program does not use",
    "s1",
    {
      [`${CONTAINER}.mounts`]: [],
      "taskSpec.networksAdvanceds": [{ id: "1", name: "n" }],
      rollbackConfig: {},
      convergeConfig: {},
    },
    [
      "taskSpec.containerSpec.mounts",
      "taskSpec.networksAdvanceds[0].name",
      "rollbackConfig",
      "convergeConfig",
    ].map(
      (path) =>
        `property "${path}" is not implemented by the offline provider; install the official plugin ` +
        "with `pulumi plugin install resource docker 5.2.0`",
    ),
  ],
  [
    "a duration",
    "s1",
    { "taskSpec.restartPolicy.delay": "1m" },
    [
      'property "taskSpec.restartPolicy.delay" must be a duration such as "90s" or "500ms", not "1m"',
    ],
  ],
  [
    "data that is no base64, without showing it",
    "key",
    { data: "k3y!" },
    ['property "data" must be base64'],
  ],
  [
    "a password of another type, without showing it",
    "child",
    { "registry.password": 1234 },
    ['property "registry.password" must be a string'],
  ],
  [
    "a push to a registry that is not in the name",
    "child",
    { imageName: "rec/child:dev" },
    [`property "imageName" must begin with "${SERVER}/", not "rec/child:dev"`],
  ],
])("refuses %s", async (_, name, changes, reasons) => {
  const { failures } = await check(name, changed(name, changes));
  expect(failures.map(({ reason }) => reason)).toEqual(reasons);
});
