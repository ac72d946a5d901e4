import { once } from "node:events";
import { request } from "node:http";
import { followLab } from "../../cli/live/follow";
import { advance, type Input, type LabState, NOTHING_YET } from "../../cli/live/model";
import { LiveServer } from "../../cli/live/server";
import { drawText } from "../../cli/live/terminal";
import { type LabStates, type LabView, viewOf } from "../../cli/live/view";
import { readPort } from "../../cli/live";
import { watchConfigurator } from "../../configurator/client";
import type { Happening, Sample, Views, WatchReply } from "../../configurator/protocol/watch";
import { diffLines, Watch } from "../../configurator/watch";
import type { Lab } from "../../state/inventory";

jest.mock("../../configurator/client");
jest.mock("../../configurator/haproxyProcess", () => ({
  readTraffic: () => Promise.resolve({ at: 1, servers: [] }),
}));

const NOON = 1_800_000_000_000;
const connected: Input = { connected: true, reason: "", at: NOON };

const node = (name: string) => ({ name, address: `10.0.0.${name.slice(1)}`, port: 3000 });
const member = (name: string, more = {}) => ({
  ...{ name, address: node(name).address, status: "alive" as const, role: "backend" },
  ...{ origin: "pulumi", boot: `boot-${name}`, ...more },
});
const views: Views = {
  declared: [node("s1"), node("s2")],
  members: [member("ha", { role: "balancer" }), member("s1"), member("s2")],
  nodes: [node("s1"), node("s2")],
  file: [node("s1"), node("s2")],
};

type ServerSample = Sample["servers"][number];
const server = (name: string, requests: number, more: Partial<ServerSample> = {}) => ({
  ...{ ...node(name), status: "UP", check: "L7OK", checking: false },
  ...{ sessions: 0, errors: 0, requests, ...more },
});
const sample = (ms: number, requests: number, ...servers: ServerSample[]): Input => ({
  sample: { at: NOON + ms, frontend: { sessions: 1, requests, errors: 0 }, servers },
});
let ids = 0;
const event = (ms: number, happening: Happening): Input => ({
  event: { id: `${ids++}`, at: NOON + ms, ...happening },
});
const announce = (ms: number, name: string, boot: string) =>
  event(ms, { what: "gossip", event: "announce", members: [{ name, boot }] });

const after = (...inputs: Input[]) => inputs.reduce(advance, NOTHING_YET);
const view = (...inputs: Input[]): LabView => viewOf("dev", { ha: after(connected, ...inputs) });

test("the whole picture of a lab under load", () => {
  const inputs = [
    { views },
    sample(0, 100, server("s1", 50), server("s2", 50, { sessions: 2 })),
    sample(500, 130, server("s1", 70), server("s2", 60, { sessions: 3, errors: 4 })),
    sample(1000, 140, server("s1", 75), server("s2", 65, { sessions: 4, errors: 5 })),
  ];
  const common = { origin: "declared", gossip: "alive", status: "UP", check: "L7OK", health: "up" };
  expect(view(...inputs)).toEqual({
    stack: "dev",
    at: NOON + 1000,
    balancers: [
      {
        ...{ name: "ha", connection: { isUp: true, reason: "", since: NOON }, health: "up" },
        ...{ rate: 40, errorRate: 0, sessions: 1, requests: 140 },
      },
    ],
    nodes: [
      {
        ...{ name: "s1", hue: 353, address: "10.0.0.1", ...common },
        ...{ rate: 25, errorRate: 0, sessions: 0, requests: 75 },
      },
      {
        ...{ name: "s2", hue: 130, address: "10.0.0.2", ...common },
        ...{ rate: 15, errorRate: 5, sessions: 4, requests: 65 },
      },
    ],
    events: [
      { id: `connection ${NOON}`, at: NOON, kind: "connection", text: "the balancer answers" },
    ],
    applies: [],
    arrivals: [],
  });
});

test.each<[string, [ms: number, requests: number][], number]>([
  ["nothing yet", [], 0],
  ["one sample", [[0, 500]], 0],
  [
    "less than a second counts as one",
    [
      [0, 0],
      [250, 5],
    ],
    5,
  ],
  [
    "what is longer ago does not count",
    [
      [0, 0],
      [250, 90],
      [1250, 100],
      [2250, 110],
    ],
    10,
  ],
  [
    "a counter that began anew",
    [
      [0, 1000],
      [500, 1010],
      [1000, 4],
    ],
    14,
  ],
])("requests a second: %s", (_, samples, rate) => {
  const inputs = samples.map(([ms, requests]) => sample(ms, requests, server("s1", requests)));
  const { balancers, nodes } = view({ views }, ...inputs);
  expect([balancers[0].rate, nodes[0].rate]).toEqual([rate, rate]);
});

test.each<[string, Partial<Views>, ServerSample[], Partial<LabView["nodes"][number]>[]]>([
  [
    "one that is down, one in maintenance",
    {},
    [server("s1", 0, { status: "DOWN 1/2", check: "L4CON" }), server("s2", 0, { status: "MAINT" })],
    [
      { name: "s1", status: "DOWN 1/2", check: "L4CON", health: "down" },
      { name: "s2", status: "MAINT", check: "L7OK", health: "maintenance" },
    ],
  ],
  [
    "one by hand, one that left, one that nobody vouches for",
    {
      members: [
        member("s2", { status: "failed" }),
        member("s9", { origin: "hand" }),
        member("s8", { status: "left" }),
      ],
    },
    [server("s1", 0), server("s9", 0)],
    [
      { name: "s1", gossip: "-", health: "up", origin: "declared" },
      { name: "s2", gossip: "failed", health: "out", status: "-" },
      { name: "s9", gossip: "alive", health: "up", origin: "by hand" },
    ],
  ],
])("nodes: %s", (_, change, servers, nodes) => {
  const shown = view({ views: { ...views, ...change } }, sample(0, 0, ...servers)).nodes;
  expect(shown).toMatchObject(nodes);
  expect(shown).toHaveLength(nodes.length);
});

test("a reload is no outage, a second without an answer is one", () => {
  const silent = (ms: number): Input => ({ sample: { at: NOON + ms, servers: [] } });
  const serving = [{ views }, sample(0, 1, server("s1", 1))];
  const healths = (...more: Input[]) => {
    const { balancers, nodes } = view(...serving, ...more);
    return [balancers[0].health, nodes[0].health];
  };
  expect(healths(silent(250), silent(900))).toEqual(["up", "up"]);
  expect(healths(silent(250), silent(1000))).toEqual(["down", "up"]);
  expect(healths(silent(250), silent(1000), silent(2000), silent(2100))).toEqual(["down", "out"]);
});

test("from announce to first request: each moment counts from the announcement", () => {
  const arrivals = (...inputs: Input[]) => view({ views }, ...inputs).arrivals;
  const change = { way: "Runtime API" as const, ms: 5, reason: "announce", diff: [] };
  const course = [
    sample(0, 0, server("s1", 7)),
    announce(100, "s2", "new"),
    event(120, { what: "apply", change: "+s2", ...change }),
    sample(150, 0, server("s2", 0, { status: "DOWN", check: "" })),
    sample(300, 0, server("s2", 0)),
    announce(350, "s2", "new"),
    sample(400, 3, server("s2", 3)),
    sample(450, 9, server("s2", 9)),
  ];
  const arrived = { name: "s2", hue: 130, at: NOON + 100, applied: 20, serving: 200 };
  expect(arrivals(...course)).toEqual([{ ...arrived, requested: 300 }]);
  expect(arrivals(...course.slice(0, 5))).toEqual([{ ...arrived, requested: undefined }]);
  // Another run begins another course, and what its server answered before does not count.
  const again = [announce(1000, "s2", "newer"), sample(1050, 9, server("s2", 9))];
  expect(arrivals(...course, ...again)).toEqual([
    {
      name: "s2",
      hue: 130,
      at: NOON + 1000,
      applied: undefined,
      serving: 50,
      requested: undefined,
    },
  ]);
  // Of one from before the watch nothing can be told.
  expect(arrivals(announce(-5000, "s1", "old"), sample(0, 0, server("s1", 7)))).toEqual([]);
});

test("events are told once, the newest first", () => {
  const reply = event(10, { what: "note", text: "refused x" });
  const down = server("s1", 0, { status: "DOWN", check: "L4CON" });
  const state = after(
    ...[connected, connected, reply, reply, sample(20, 0, server("s1", 0)), sample(30, 0, down)],
    event(40, { what: "gossip", event: "member-failed", members: [{ name: "s1", boot: "" }] }),
    event(35, { what: "note", text: "kept, and told late" }),
    { connected: false, reason: "gone", at: NOON + 50 },
    { connected: false, reason: "gone", at: NOON + 60 },
  );
  expect(state.events.map(({ at, kind, text }) => [at - NOON, kind, text])).toEqual([
    [50, "connection", "the balancer does not answer: gone"],
    [40, "gossip", "member-failed s1"],
    [35, "note", "kept, and told late"],
    [30, "health", "s1 UP → DOWN, last check L4CON"],
    [10, "note", "refused x"],
    [0, "connection", "the balancer answers"],
  ]);
  expect(state.connection).toEqual({ isUp: false, reason: "gone", since: NOON + 50 });
});

describe("in a terminal", () => {
  const time = (ms: number) => new Date(NOON + ms).toLocaleTimeString("en-GB");
  const down = server("s2", 10, { status: "DOWN", check: "L4TOUT" });
  const shown = view(
    { views },
    sample(0, 100, server("s1", 50), down),
    sample(1000, 140, server("s1", 75, { sessions: 2 }), down),
    event(1000, { what: "note", text: "refused \x1b[31m\n\u202ename" + "x".repeat(99) }),
  );
  const plain = { columns: 80, rows: 9, isColoured: false };

  test("it is a table and the last events, and no line is longer than the screen", () => {
    const lines = drawText(shown, plain);
    expect(lines).toEqual([
      "stack dev: 1 of 2 nodes up, 40.0 requests/s",
      "",
      "node  address   origin    gossip  HAProxy  check   req/s  open  err/s",
      "s1    10.0.0.1  declared  alive   UP       L7OK     25.0     2    0.0",
      "s2    10.0.0.2  declared  alive   DOWN     L4TOUT    0.0     0    0.0",
      "",
      `${time(1000)} refused ?[31m??name${"x".repeat(51)}…`,
      `${time(0)} the balancer answers`,
    ]);
    expect(Math.max(...lines.map((line) => line.length))).toBe(80);
    expect(drawText(shown, { ...plain, rows: 7 })).toEqual(lines.slice(0, 6));
  });

  test("colours say the same, and a lost balancer is said", () => {
    const lines = drawText(shown, { ...plain, isColoured: true });
    expect(lines.slice(3, 5).map((line) => line.slice(0, 7))).toEqual(["\x1b[32ms1", "\x1b[31ms2"]);
    const lost = view({ connected: false, reason: "gone", at: NOON + 5 });
    expect(drawText(lost, plain)[0]).toBe("stack dev: no word from ha: gone");
  });
});

test("a diff has the lines that went and those that came", () => {
  expect(diffLines("a\n  b\nb\nc\n", "a\n  b\nd\nc\n")).toEqual(["- b", "+ d"]);
  expect(diffLines("a", "a")).toEqual([]);
  const many = Array.from({ length: 70 }, (_, i) => `line ${i}`).join("\n");
  expect(diffLines("line 0", many)).toHaveLength(61);
  expect(diffLines("line 0", many).at(-1)).toBe("… and 9 more");
});

test("a watcher is told what was, what is, and what comes, until it ends", async () => {
  const watch = new Watch();
  watch.tell({ what: "note", text: "before" });
  watch.tell({ what: "note", text: "before" });
  watch.see(views);
  const told: WatchReply[] = [];
  let end = () => {};
  const ended = new Promise<void>((resolve) => (end = resolve));
  const served = watch.serve(
    (reply) => told.push(reply),
    () => Promise.resolve(views),
    ended,
  );
  while (!told.some((reply) => "sample" in reply)) await new Promise(setImmediate);
  watch.see(views);
  watch.see(views);
  watch.see({ ...views, nodes: [] });
  watch.tell({ what: "note", text: "while" });
  end();
  await served;
  watch.tell({ what: "note", text: "after" });
  const what = told
    .filter((reply) => !("sample" in reply))
    .map((reply) => ("event" in reply ? (reply.event as { text: string }).text : "views"));
  expect(what).toEqual(["before", "views", "views", "views", "while"]);
});

describe("two balancers", () => {
  const both = (first: Input[], second: Input[]) =>
    viewOf("dev", { ha1: after(connected, ...first), ha2: after(connected, ...second) });

  test("their traffic is added, and where they differ both words stand", () => {
    const shown = both(
      [
        { views },
        sample(0, 0, server("s1", 0), server("s2", 0)),
        sample(1000, 30, server("s1", 20, { sessions: 1 }), server("s2", 10)),
      ],
      [
        { views: { ...views, members: [member("s1")] } },
        sample(0, 0, server("s1", 0), server("s2", 0)),
        sample(1000, 4, server("s1", 4), server("s2", 0, { status: "DOWN", check: "L4CON" })),
      ],
    );
    const connection = { isUp: true, reason: "", since: NOON };
    const balancer = { connection, errorRate: 0, sessions: 1, health: "up" };
    expect(shown.balancers).toEqual([
      { name: "ha1", ...balancer, rate: 30, requests: 30 },
      { name: "ha2", ...balancer, rate: 4, requests: 4 },
    ]);
    expect(shown.nodes).toEqual([
      {
        ...{ name: "s1", hue: 353, address: "10.0.0.1", origin: "declared", gossip: "alive" },
        ...{ status: "UP", check: "L7OK", health: "up" },
        ...{ rate: 24, errorRate: 0, sessions: 1, requests: 24 },
      },
      {
        ...{ name: "s2", hue: 130, address: "10.0.0.2", origin: "declared", gossip: "alive / -" },
        ...{ status: "UP / DOWN", check: "L7OK / L4CON", health: "partly" },
        ...{ rate: 10, errorRate: 0, sessions: 0, requests: 10 },
      },
    ]);
  });

  test("one that does not answer has no word on the nodes", () => {
    const there = [{ views }, sample(0, 0, server("s1", 0), server("s2", 0))];
    const gone: Input = { connected: false, reason: "gone", at: NOON + 5 };
    const shown = both(there, [...there, gone]);
    expect(shown.nodes.map(({ name, status, health }) => [name, status, health])).toEqual([
      ["s1", "UP", "up"],
      ["s2", "UP", "up"],
    ]);
    expect(drawText(shown, { columns: 80, rows: 9, isColoured: false })[0]).toBe(
      "stack dev: 2 of 2 nodes up, 0.0 requests/s; no word from ha2: gone",
    );
  });

  test("what both tell is one event; what one tells has its name", () => {
    const change = { what: "apply" as const, ms: 5, reason: "push", change: "text", diff: [] };
    const shown = both(
      [announce(100, "s3", "boot"), event(900, { ...change, way: "reload" })],
      [announce(150, "s3", "boot"), event(300, { what: "note", text: "refused x" })],
    );
    expect(shown.events.map(({ at, text }) => [at - NOON, text])).toEqual([
      [900, "ha1: applied by reload in 5 ms: text"],
      [300, "ha2: refused x"],
      [100, "announce s3"],
      [0, "the balancer answers"],
    ]);
    expect(shown.applies.map(({ balancer, way }) => [balancer, way])).toEqual([["ha1", "reload"]]);
  });

  test("a node has arrived once both have it", () => {
    const empty = sample(0, 0);
    const change = { way: "Runtime API" as const, ms: 5, reason: "announce", diff: [] };
    const applied = (ms: number) => event(ms, { what: "apply", change: "+s3", ...change });
    const first = [
      empty,
      announce(100, "s3", "boot"),
      applied(120),
      sample(300, 1, server("s3", 1)),
    ];
    const second = [empty, announce(150, "s3", "boot"), applied(190)];
    const arrivalsOf = (...more: Input[]) => both(first, [...second, ...more]).arrivals;
    const arrived = { name: "s3", hue: 268, at: NOON + 100, applied: 90 };
    expect(arrivalsOf()).toEqual([{ ...arrived, serving: undefined, requested: 200 }]);
    expect(arrivalsOf(sample(400, 0, server("s3", 0)))).toEqual([
      { ...arrived, serving: 300, requested: 200 },
    ]);
  });
});

/** A lab with these balancers. */
const labWith = (...names: string[]) =>
  ({
    containers: names.map((name) => ({ name, containerName: `x-${name}`, role: "balancer" })),
  }) as Lab;

test("a lab is followed through its balancer's restarts", async () => {
  const end = new AbortController();
  const told: string[] = [];
  jest
    .mocked(watchConfigurator)
    .mockImplementationOnce(async (_, onReply) => {
      onReply({ views });
      return "the configurator went away";
    })
    .mockRejectedValueOnce(new Error("container is not running"))
    .mockImplementationOnce(async (_, onReply) => {
      onReply({ views });
      end.abort();
      return "";
    });
  const onChange = ({ ha: { connection } }: LabStates) =>
    told.push(connection.isUp ? "up" : connection.reason);
  await followLab(() => Promise.resolve(labWith("ha")), onChange, end.signal);
  const gone = "the configurator went away";
  expect([...new Set(told)]).toEqual(["up", gone]);
  expect(told.at(-1)).toBe("up");
});

test("and when two balancers take the place of one, one after the other", async () => {
  const end = new AbortController();
  const balancers = ["ha1", "ha2"].map((name) => member(name, { role: "balancer" }));
  let names = ["ha"];
  jest.mocked(watchConfigurator).mockImplementation(async (container, onReply, signal) => {
    if (container === "x-ha") {
      if (names.includes("ha2")) throw new Error("there is no such container");
      names = ["ha2"];
      onReply({ views });
      return "it went away";
    }
    names = ["ha1", "ha2"];
    onReply({ views: { ...views, members: balancers } });
    if (!signal.aborted) await once(signal, "abort");
    return "it was not followed any more";
  });
  const told: string[] = [];
  const onChange = (states: LabStates) => {
    const isUp = ([, { connection }]: [string, LabState]) => connection.isUp;
    const up = Object.entries(states).filter(isUp);
    told.push(up.map(([name]) => name).join(" "));
    if (up.length === 2) end.abort();
  };
  await followLab(() => Promise.resolve(labWith(...names)), onChange, end.signal);
  expect([...new Set(told)].filter(Boolean)).toEqual(["ha", "ha2", "ha1 ha2"]);
});

describe("the server", () => {
  const live = new LiveServer(() => view({ views }));
  let url: string;
  beforeAll(async () => (url = await live.listen(0)));
  afterAll(() => live.close());

  const ask = (path: string, method = "GET", host?: string) =>
    new Promise<{ status?: number; headers: Record<string, unknown> }>((resolve, reject) => {
      const options = { method, headers: host === undefined ? {} : { host } };
      const sent = request(new URL(path, url), options, ({ statusCode, headers }) => {
        resolve({ status: statusCode, headers });
        sent.destroy();
      });
      sent.on("error", reject).end();
    });

  test.each([
    ["/", "GET", "127.0.0.1:1", 200, "text/html; charset=utf-8"],
    ["/?x", "HEAD", "localhost", 200, "text/html; charset=utf-8"],
    ["/page.css", "GET", "[::1]:80", 200, "text/css; charset=utf-8"],
    ["/page.js", "GET", undefined, 200, "text/javascript; charset=utf-8"],
    ["/events", "GET", undefined, 200, "text/event-stream"],
    ["/", "GET", "attacker.example", 403, "text/plain; charset=utf-8"],
    ["/events", "GET", "127.0.0.1.attacker.example:80", 403, "text/plain; charset=utf-8"],
    ["/", "POST", undefined, 405, "text/plain; charset=utf-8"],
    ["/../live.ts", "GET", undefined, 404, "text/plain; charset=utf-8"],
    ["/constructor", "GET", undefined, 404, "text/plain; charset=utf-8"],
  ])("%s %s for %s: %i", async (path, method, host, status, type) => {
    const { headers, ...answer } = await ask(path, method, host);
    expect({ ...answer, type: headers["content-type"] }).toEqual({ status, type });
    expect(headers["content-security-policy"]).toMatch(/^default-src 'none'; script-src 'self';/);
  });

  test("a browser gets the picture at once, and anew when it changes", async () => {
    const { body } = await fetch(`${url}events`);
    const reader = body!.pipeThrough(new TextDecoderStream()).getReader();
    const picture = `data: ${JSON.stringify(view({ views }))}\n\n`;
    expect((await reader.read()).value).toBe(`retry: 500\n${picture}`);
    live.changed();
    live.changed();
    expect((await reader.read()).value).toBe(picture);
    await reader.cancel();
  });

  test("a busy port is named", async () => {
    const { port } = new URL(url);
    await expect(new LiveServer(() => view()).listen(Number(port))).rejects.toThrow(
      `--port: got ${port}, expected a free port of 127.0.0.1 (something else listens there); ` +
        "without --port a free one is taken",
    );
  });
});

test.each(["0", "65536", "x", "-1", "1.5", ""])("--port %s is refused", (text) => {
  expect(() => readPort(text)).toThrow(
    `--port: got ${JSON.stringify(text)}, expected a port from 1 to 65535`,
  );
});
