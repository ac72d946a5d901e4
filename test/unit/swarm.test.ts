/** The lab on a Swarm: what is waited for, and what is told of it. */
import { judgeBalancers } from "../../cli/compareViews";
import { withDeclared } from "../../cli/lab";
import type { BalancerView, ClusterView, ServerStatus } from "../../configurator/protocol/control";
import { describeServerState } from "../../configurator/servers";
import { describeView, parseViews } from "../../configurator/views";
import type { ServiceTasks, Task } from "../../docker/tasks";
import { readServices } from "../../docker/tasks";
import { renderHaproxyConfig } from "../../haproxy/render";
import { planTopology } from "../../config/topology";
import { decideRebuilds } from "../../preflight/missingImages";
import { listWaiting, type Expected, type Seen } from "../../providers/lab/swarm";
import { describeTasks, type Lab, type LabContainer } from "../../state/inventory";
import { SWARM_LAB } from "../support/labConfig";

const settings = planTopology(SWARM_LAB).balancers[0].proxy;
const template = "{{#each nodes}}server {{name}} {{address}}\n{{/each}}";

const server = (name: string, address: string, change: Partial<ServerStatus> = {}) => ({
  name,
  address,
  port: 3000,
  status: "UP",
  check: "L7OK",
  checking: false,
  ...change,
});

const task = (engine: string, change: Partial<Task> = {}): Task => ({
  service: "x-s1",
  state: "running",
  error: "",
  engine,
  isHere: engine === "m1",
  container: `on ${engine}`,
  addresses: { "x-heig": "10.0.0.1" },
  isCurrent: true,
  isWanted: true,
  ...change,
});

const service = (name: string, ...tasks: Task[]): ServiceTasks => ({
  id: `${name}-id`,
  name: `x-${name}`,
  isGlobal: name === "ha",
  update: "",
  tasks,
});

const expected: Expected = {
  balancer: "x-ha",
  runs: { s1: "s1-id image", s2: "s2-id image" },
  proxy: { template, settings },
};

const views: BalancerView[] = ["m1", "m2"].map((engine) => ({
  name: `ha-${engine}`,
  serving: "abc",
  waiting: "",
}));

/** All is well, but for what a row changes. */
interface Scene {
  balancers?: ServiceTasks;
  s1?: ServiceTasks | undefined;
  servers?: ServerStatus[];
  names?: string[];
  live?: string;
  views?: BalancerView[];
}

function see(scene: Scene = {}): Seen {
  const names = scene.names ?? ["s1", "s2"];
  const file = names.map((name) => ({ name, address: name, port: 3000 }));
  const servers = scene.servers ?? [server("s1", "10.0.0.1"), server("s2", "10.0.0.2")];
  const cluster: ClusterView = { declared: [], nodes: [], members: [], file, servers };
  return {
    balancers: scene.balancers ?? service("ha", task("m1"), task("m2")),
    nodes: new Map([
      ["s1", "s1" in scene ? scene.s1 : service("s1", task("m1"))],
      ["s2", service("s2", task("m2", { addresses: { "x-heig": "10.0.0.2" } }))],
    ]),
    answer: {
      done: true,
      cluster,
      status: { live: scene.live ?? renderHaproxyConfig(template, settings, file) },
      balancers: scene.views ?? views,
    },
  };
}

const noNode = "no suitable node (scheduling constraints not satisfied on 3 nodes)";
const failed = { isWanted: false, state: "failed", error: "task: non-zero exit (1)" };

test.each<[string, Scene, string[]]>([
  ["all is well", {}, []],
  ["a removed node has not left yet: it goes last", { names: ["s1", "s2", "s3"] }, []],
  ["a node without a service", { s1: undefined }, ["s1 has no service"]],
  ["a node without a task", { s1: service("s1") }, ["s1 has no task"]],
  [
    "a node that no engine may have",
    { s1: service("s1", task("", { state: "pending", error: noNode })) },
    [`s1 is pending: ${noNode}`],
  ],
  [
    "a node whose task failed before",
    { s1: service("s1", task("m2", { state: "starting" }), task("m1", failed)) },
    ["s1 on m1 is failed: task: non-zero exit (1)"],
  ],
  [
    "a node whose task failed before the change, which says nothing of the new one",
    {
      s1: service(
        "s1",
        task("m2", { state: "starting" }),
        task("m1", { ...failed, isCurrent: false }),
      ),
    },
    ["s1 on m2 is starting"],
  ],
  [
    "a balancer that starts, beside one that failed once on another engine",
    {
      balancers: {
        ...service("ha", task("m1"), task("m2", { state: "starting" }), task("m1", failed)),
        isGlobal: true,
      },
    },
    ["the balancer on m2 is starting"],
  ],
  [
    "a node that runs as it was before the change",
    { s1: service("s1", task("m1", { isCurrent: false })) },
    ["s1 on m1 is running"],
  ],
  [
    "a server at the address of the task before",
    { servers: [server("s1", "10.0.0.9"), server("s2", "10.0.0.2")] },
    ["s1 (still at 10.0.0.9)"],
  ],
  [
    "a server that is down",
    {
      servers: [
        server("s1", "10.0.0.1", { status: "DOWN", check: "L4TOUT" }),
        server("s2", "10.0.0.2"),
      ],
    },
    ["s1 (DOWN, no connection to 10.0.0.1:3000 in time [L4TOUT])"],
  ],
  ["a node out of rotation", { servers: [server("s2", "10.0.0.2")] }, ["s1 (out of rotation)"]],
  ["another text", { live: "other" }, ["haproxy.cfg is not as declared on this engine"]],
  [
    "balancers that were rolled back",
    { balancers: { ...service("ha", task("m1"), task("m2")), update: "rollback_completed" } },
    ["the balancer was rolled back"],
  ],
  [
    "the same, with the task that failed",
    {
      balancers: {
        ...service("ha", task("m1"), task("m2")),
        update: "rollback_completed",
        takenBack: task("m2", { ...failed, isCurrent: false }),
      },
    },
    ["the balancer was rolled back, as the new one on m2 is failed: task: non-zero exit (1)"],
  ],
  ["a balancer that is silent", { views: [views[0]] }, ["the balancer ha-m2 does not answer"]],
  [
    "a balancer that does not serve from all",
    { views: [views[0], { name: "ha-m2", serving: "def", waiting: "s1 is DOWN" }] },
    ["the balancer ha-m2 (s1 is DOWN)"],
  ],
])("%s", (_what, scene, lines) => {
  expect(listWaiting(expected, see(scene))).toEqual(lines);
});

test("before there are balancers nothing is waited for; one that does not answer is", () => {
  expect(listWaiting(expected, undefined)).toEqual([]);
  expect(listWaiting(expected, { ...see(), answer: undefined })).toEqual([
    "the balancer on this engine",
  ]);
});

test("a gate waits for its nodes, and not for balancers that are about to change", () => {
  const gate = { ...expected, proxy: undefined };
  const changing = { balancers: service("ha", task("m1", { isCurrent: false }), task("m2")) };
  expect(listWaiting(gate, see({ ...changing, live: "other" }))).toEqual([]);
  expect(listWaiting(expected, see(changing))).toEqual(["the balancer on m1 is running"]);
});

describe("what the Swarm says", () => {
  const template = { ContainerSpec: { Image: "new" } };
  const info = (change: object) => ({
    ServiceID: "1",
    NodeID: "A",
    CreatedAt: "2026-01-01T00:00:02Z",
    DesiredState: "running",
    Spec: template,
    Status: { State: "running", ContainerStatus: { ContainerID: "c" } },
    NetworksAttachments: [{ Network: { Spec: { Name: "x-heig" } }, Addresses: ["10.0.0.1/24"] }],
    ...change,
  });
  const docker = (tasks: object[], state?: string) =>
    ({
      listServices: () =>
        Promise.resolve([
          {
            ID: "1",
            Spec: { Name: "x-s1", TaskTemplate: template },
            ...(state && { UpdateStatus: { State: state } }),
          },
          { ID: "2", Spec: { Name: "other", TaskTemplate: template } },
        ]),
      listTasks: () => Promise.resolve(tasks),
      listNodes: () =>
        Promise.resolve([
          { ID: "A", Description: { Hostname: "m1" } },
          { ID: "B", Description: { Hostname: "m2" } },
        ]),
      info: () => Promise.resolve({ Swarm: { NodeID: "A" } }),
    }) as unknown as Parameters<typeof readServices>[0];
  const running = {
    service: "x-s1",
    state: "running",
    error: "",
    engine: "m1",
    isHere: true,
    container: "c",
    addresses: { "x-heig": "10.0.0.1" },
    isCurrent: true,
    isWanted: true,
  };

  test.each<[string, string[]]>([
    ["its name", ["x-s1"]],
    ["its id", ["1"]],
  ])("a service by %s, with its task", async (_what, names) => {
    expect(await readServices(docker([info({}), info({ ServiceID: "2" })]), names)).toEqual([
      { id: "1", name: "x-s1", isGlobal: false, update: "", tasks: [running] },
    ]);
  });

  test("beside those that are wanted the newest of each engine, with its error", async () => {
    const old = { DesiredState: "shutdown", Spec: { ContainerSpec: { Image: "old" } } };
    const [{ tasks }] = await readServices(
      docker([
        info({ ...old, CreatedAt: "2026-01-01T00:00:00Z" }),
        info({ ...old, NodeID: "B", Status: { State: "failed", Err: "exit 1" } }),
        info({ ...old, CreatedAt: "2026-01-01T00:00:01Z", Status: { State: "shutdown" } }),
        info({ CreatedAt: "2026-01-01T00:00:03Z" }),
      ]),
      ["x-s1"],
    );
    const gone = { ...running, isCurrent: false, isWanted: false, container: "" };
    expect(tasks).toEqual([
      running,
      { ...gone, engine: "m2", isHere: false, state: "failed", error: "exit 1" },
      { ...gone, state: "shutdown" },
    ]);
  });

  test("of a change that was rolled back the task that failed, which others followed", async () => {
    const err = { State: "failed", Err: "exit 1" };
    const taken = { DesiredState: "shutdown", Spec: { ContainerSpec: { Image: "never" } } };
    const tasks = [
      info({ ...taken, Status: err }),
      info({
        ...taken,
        CreatedAt: "2026-01-01T00:00:03Z",
        Status: { State: "pending", Err: "host-mode port already in use on 1 node" },
      }),
      info({ CreatedAt: "2026-01-01T00:00:04Z", DesiredState: "shutdown", Status: err }),
      info({ CreatedAt: "2026-01-01T00:00:05Z" }),
    ];
    const look = async (state: string) =>
      (await readServices(docker(tasks, state), ["1"])).map(({ takenBack }) => takenBack);
    const failedOne = { state: "failed", error: "exit 1", isCurrent: false, isWanted: false };
    expect(await look("rollback_completed")).toEqual([{ ...running, ...failedOne, container: "" }]);
    expect(await look("completed")).toEqual([undefined]);
  });
});

describe("what balancers tell each other", () => {
  const file = [
    { name: "s1", address: "s1", port: 3000 },
    { name: "s2", address: "s2", port: 3000 },
  ];
  const both = [server("s1", "10.0.0.1"), server("s2", "10.0.0.2")];
  const digest = (servers: ServerStatus[], text = "text") => describeView({ servers, file }, text);

  test("the same servers are the same word, whatever their order", () => {
    expect(digest(both)).toMatch(/^[0-9a-f]{12}$/);
    expect(digest([both[1], both[0]])).toBe(digest(both));
  });

  test.each<[string, string]>([
    ["another address", digest([both[0], server("s2", "10.0.0.3")])],
    ["another text", digest(both, "other")],
    ["a server fewer", digest([both[0]])],
  ])("%s is another word", (_what, other) => {
    expect(other).not.toBe(digest(both));
  });

  test("who does not serve is named, unless it is on its way out", () => {
    const servers = [
      both[0],
      server("s2", "10.0.0.2", { status: "DOWN" }),
      server("s3", "10.0.0.3", { status: "MAINT" }),
    ];
    expect(digest(servers)).toBe(`${digest([both[0]])} s2 is DOWN`);
    expect(parseViews({ "ha-m1": `${digest(servers)}\n`, "ha-m2": digest(both) })).toEqual([
      { name: "ha-m1", serving: digest([both[0]]), waiting: "s2 is DOWN" },
      { name: "ha-m2", serving: digest(both), waiting: "" },
    ]);
  });

  test("an answer fits into Serf's", () => {
    const many = Array.from({ length: 200 }, (_, i) =>
      server(`s${i}`, "10.0.0.1", { status: "DOWN" }),
    );
    expect(describeView({ servers: many, file: many }, "").length).toBeLessThanOrEqual(700);
  });
});

test("a worker that starts finds the servers' addresses, and who was down", () => {
  const nodes = [
    { name: "s1", address: "10.0.0.1", port: 3000 },
    { name: "s2", address: "10.0.0.2", port: 3000 },
  ];
  const text = describeServerState(nodes, [server("s2", "10.0.0.2", { status: "DOWN 1/2" })]);
  const [version, header, ...rows] = text.split("\n");
  expect(version).toBe("1");
  expect(header.split(" ")).toHaveLength(rows[0].split(" ").length + 1);
  expect(rows).toEqual([
    "0 nodes 0 s1 10.0.0.1 2 0 1 1 0 1 0 2 6 0 0 0 - 3000 - 0 0 - - 0",
    "0 nodes 0 s2 10.0.0.2 0 0 1 1 0 1 0 0 6 0 0 0 - 3000 - 0 0 - - 0",
    "",
  ]);
});

describe("the lab's containers", () => {
  const lab = { namePrefix: "x-", network: { name: "x-heig", subnet: "10.0.0.0/24" } };
  const node: LabContainer = {
    id: "on m2",
    name: "s1",
    containerName: "x-s1",
    role: "backend",
    origin: "pulumi",
    state: "running",
    address: "10.0.0.1",
    engine: "m2",
    isElsewhere: true,
  };
  const balancer = (engine: string, state = "running"): LabContainer => ({
    ...node,
    id: `on ${engine}`,
    name: `ha-${engine}`,
    containerName: "x-ha",
    role: "balancer",
    state,
    engine,
    isElsewhere: engine !== "m1",
  });

  test("a task that is wanted is one, a balancer by its engine", () => {
    expect(describeTasks(service("s1", task("m2"), task("m1", failed)), lab)).toEqual([node]);
    expect(describeTasks(service("ha", task("m1"), task("m2")), lab)).toEqual([
      balancer("m1"),
      balancer("m2"),
    ]);
  });

  test("declared is which has a service, where its task is", () => {
    const cluster = {
      declared: [],
      nodes: [{ name: "s1", address: "10.0.0.1", port: 3000 }],
      file: [{ name: "s1", address: "s1", port: 3000 }],
    };
    const place = { name: "s1", address: "10.0.0.1", port: 3000 };
    const all = { containers: [balancer("m1"), node] } as Lab;
    expect(withDeclared({ "ha-m1": cluster }, all)).toEqual({
      "ha-m1": { declared: [place], nodes: [place], file: [place] },
    });
    const onEngine = { containers: [{ ...node, engine: undefined }] } as Lab;
    expect(withDeclared({ ha: cluster }, onEngine)).toEqual({ ha: cluster });
  });

  test("status names each balancer that does not serve as the one here", () => {
    const all = ["m1", "m2", "m3"].map((engine) => balancer(engine));
    const told = [...views, { name: "ha-m3", serving: "def", waiting: "" }];
    expect(judgeBalancers(all.slice(0, 2), views)).toEqual([]);
    expect(judgeBalancers(all, told)).toEqual([
      "The balancer ha-m3 does not serve as ha-m1: another text.",
    ]);
    expect(judgeBalancers([all[0], all[1], balancer("m3", "pending")], [views[0]])).toEqual([
      "The balancer ha-m3 does not run: its task is pending.",
      "The balancer ha-m2 does not answer.",
    ]);
  });
});

test("a pushed image is there by its digest", () => {
  const digest = "registry.test:5000/x-lab-ha@sha256:1";
  const image = {
    name: "ha",
    tag: "registry.test:5000/x-lab-ha:test",
    imageId: digest,
    rebuilds: 0,
  };
  expect(decideRebuilds([image], { [image.tag]: "sha256:2", [digest]: digest })).toEqual({});
  expect(decideRebuilds([image], { [image.tag]: "sha256:2" })).toEqual({ ha: 1 });
});
