import { readFileSync } from "node:fs";
import fc from "fast-check";
import { planTopology } from "../../config/topology";
import type { Member } from "../../configurator/protocol/control";
import { isInNetwork } from "../../config/subnet";
import { NODE_NAME, type ProxyNode, renderHaproxyConfig } from "../../haproxy/render";
import {
  checkable,
  correctStatus,
  decideNodes,
  type Decision,
  type Evidence,
  type Health,
} from "../../configurator/membership";
import { splitServers } from "../../configurator/servers";
import { LAB } from "../support/labConfig";

const handMade = { range: "10.20.30.224/27", port: 3000 };
const node = (name: string, host: number) => ({ name, address: `10.20.30.${host}`, port: 3000 });
const [s1, s2, s10] = [node("s1", 11), node("s2", 12), node("s10", 20)];
const [h1, h2] = [node("h1", 230), node("h2", 231)];

/** A living member, in its first run, as Pulumi's nodes are. */
const member = ({ name, address }: ProxyNode, change: Partial<Member> = {}): Member => ({
  ...{ name, address, status: "alive", role: "backend", origin: "pulumi", boot: "b1" },
  ...change,
});
const byHand = (hand: ProxyNode, change: Partial<Member> = {}) =>
  member(hand, { origin: "hand", ...change });
const balancer = member(node("ha", 42), { role: "balancer" });

/** Evidence as a test writes it down; what is not said is as with s1 and s2 declared and settled. */
interface Scene extends Partial<Omit<Evidence, "departures" | "health" | "isLost" | "stays">> {
  departures?: Partial<Evidence["departures"]>;
  health?: Record<string, Health>;
  lost?: string[];
  staying?: string[];
}

function decide({
  departures,
  health = {},
  lost = [],
  staying = [],
  ...evidence
}: Scene): Decision {
  const checks = new Map(Object.entries(health));
  return decideNodes({
    declaration: { nodes: [s1, s2], handMade },
    members: [balancer, member(s1), member(s2)],
    announced: [],
    departures: { left: {}, superseded: {}, absent: [], ...departures },
    previous: [s1, s2],
    health: (name) => checks.get(name) ?? "unknown",
    isLost: (name) => lost.includes(name),
    stays: (name) => staying.includes(name),
    isOpen: false,
    balancers: ["ha"],
    ...evidence,
  });
}

/** What is decided while nothing happens. */
const settled: Decision = {
  nodes: [s1, s2],
  departures: { left: {}, superseded: {}, absent: [] },
  refused: [],
  unsure: [],
};
const S1_GONE: Partial<Decision> = {
  nodes: [s2],
  departures: { ...settled.departures, absent: ["s1"] },
};

describe("a declared node", () => {
  test.each<[string, Scene, Partial<Decision>]>([
    ["alive is in", {}, {}],
    ["alive is in whatever the check says", { health: { s1: "down" }, lost: ["s1"] }, {}],
    ["alive again is in again", { previous: [s2], departures: { absent: ["s1"] } }, {}],
    [
      "never heard of is in from its declaration on",
      { members: [balancer], previous: [] },
      { unsure: ["s1", "s2"] },
    ],
    [
      "only announced is in",
      { members: [balancer, member(s2)], announced: [member(s1)], departures: { absent: ["s1"] } },
      {},
    ],
    ["that left is out", { members: [member(s1, { status: "left" }), member(s2)] }, S1_GONE],
    [
      "that said it leaves, and is leaving, is out",
      {
        members: [member(s1, { status: "leaving" }), member(s2)],
        departures: { left: { s1: "b1" } },
        health: { s1: "serving" },
      },
      { ...S1_GONE, departures: { left: { s1: "b1" }, superseded: {}, absent: ["s1"] } },
    ],
    [
      "that is leaving without a leave of its own is in again if it serves",
      {
        members: [member(s1, { status: "leaving" }), member(s2)],
        departures: { left: { s1: "b0" }, absent: ["s1"] },
        previous: [s2],
        health: { s1: "serving" },
      },
      { departures: { ...settled.departures, left: { s1: "b0" } }, unsure: ["s1"] },
    ],
    [
      "that is leaving without a leave is out when it has been down for long",
      { members: [member(s1, { status: "leaving" }), member(s2)], lost: ["s1"] },
      { ...S1_GONE, unsure: ["s1"] },
    ],
    [
      "that left is out although it serves",
      { members: [member(s1, { status: "left" }), member(s2)], health: { s1: "serving" } },
      S1_GONE,
    ],
    [
      "that said it leaves is out before gossip knows",
      { departures: { left: { s1: "b1" } }, health: { s1: "serving" } },
      {
        ...S1_GONE,
        departures: { left: { s1: "b1" }, superseded: {}, absent: ["s1"] },
        unsure: ["s1"],
      },
    ],
    [
      "that lives and serves on for longer than a stop takes never said that it leaves, and is in",
      {
        departures: { left: { s1: "b1" }, absent: ["s1"] },
        previous: [s2],
        health: { s1: "serving" },
        staying: ["s1"],
      },
      {},
    ],
    [
      "that left is out although it serves for longer than a stop takes: its stop is a slow one",
      {
        members: [member(s1, { status: "left" }), member(s2)],
        departures: { left: { s1: "b1" }, absent: ["s1"] },
        health: { s1: "serving" },
        staying: ["s1"],
      },
      { ...S1_GONE, departures: { left: { s1: "b1" }, superseded: {}, absent: ["s1"] } },
    ],
    [
      "that failed after it said it leaves is out although it serves on",
      {
        members: [member(s1, { status: "failed" }), member(s2)],
        departures: { left: { s1: "b1" }, absent: ["s1"] },
        health: { s1: "serving" },
        staying: ["s1"],
      },
      { ...S1_GONE, departures: { left: { s1: "b1" }, superseded: {}, absent: ["s1"] } },
    ],
    [
      "that said it leaves is out however late its announcement is",
      { departures: { left: { s1: "b1" } }, announced: [member(s1)] },
      {
        ...S1_GONE,
        departures: { left: { s1: "b1" }, superseded: {}, absent: ["s1"] },
        unsure: ["s1"],
      },
    ],
    [
      "whose earlier run left is in",
      { departures: { left: { s1: "b0" } } },
      { departures: { ...settled.departures, left: { s1: "b0" } } },
    ],
    [
      "that announced a new run is in before gossip knows, however late the leave of the old is",
      { announced: [member(s1, { boot: "b2" })], departures: { left: { s1: "b1" } } },
      { departures: { ...settled.departures, left: { s1: "b1" } } },
    ],
    [
      "that announced a new run is in while gossip has the old run's end",
      {
        members: [member(s1, { status: "left" }), member(s2)],
        announced: [member(s1, { boot: "b2" })],
        departures: { absent: ["s1"] },
      },
      {},
    ],
    [
      "failed and down is out",
      { members: [member(s1, { status: "failed" }), member(s2)], health: { s1: "down" } },
      { ...S1_GONE, unsure: ["s1"] },
    ],
    [
      "failed in the run that it announced is out when down",
      {
        members: [member(s1, { status: "failed" }), member(s2)],
        announced: [member(s1)],
        health: { s1: "down" },
      },
      { ...S1_GONE, unsure: ["s1"] },
    ],
    [
      "failed but serving is in",
      {
        members: [member(s1, { status: "failed" }), member(s2)],
        health: { s1: "serving" },
        departures: { absent: ["s1"] },
      },
      { unsure: ["s1"] },
    ],
    [
      "failed without a check stays in",
      { members: [member(s1, { status: "failed" }), member(s2)], lost: ["s1"] },
      { unsure: ["s1"] },
    ],
    [
      "failed without a check stays out",
      { members: [member(s1, { status: "failed" }), member(s2)], departures: { absent: ["s1"] } },
      { ...S1_GONE, unsure: ["s1"] },
    ],
    [
      "unknown and down stays in while it may yet start",
      { members: [member(s2)], health: { s1: "down" } },
      { unsure: ["s1"] },
    ],
    [
      "unknown and lost is out",
      { members: [member(s2)], health: { s1: "down" }, lost: ["s1"] },
      { ...S1_GONE, unsure: ["s1"] },
    ],
    [
      "unknown and out stays out",
      { members: [member(s2)], health: { s1: "down" }, departures: { absent: ["s1"] } },
      { ...S1_GONE, unsure: ["s1"] },
    ],
    [
      "unknown but serving is in",
      {
        members: [member(s2)],
        health: { s1: "serving" },
        lost: ["s1"],
        departures: { absent: ["s1"] },
      },
      { unsure: ["s1"] },
    ],
    [
      "whose container was replaced is expected, whatever the old one's end",
      {
        members: [member(s1, { status: "left" }), member(s2, { status: "failed" })],
        departures: { superseded: { s1: "b1", s2: "b1" } },
        health: { s1: "down", s2: "down" },
      },
      {
        departures: { ...settled.departures, superseded: { s1: "b1", s2: "b1" } },
        unsure: ["s1", "s2"],
      },
    ],
    [
      "whose container was replaced but never came is out once lost",
      {
        members: [member(s1, { status: "left" }), member(s2)],
        departures: { superseded: { s1: "b1" } },
        health: { s1: "down" },
        lost: ["s1"],
      },
      {
        ...S1_GONE,
        departures: { left: {}, superseded: { s1: "b1" }, absent: ["s1"] },
        unsure: ["s1"],
      },
    ],
    [
      "that said it leaves is out although its container was replaced",
      { departures: { left: { s1: "b1" }, superseded: { s1: "b1" } } },
      {
        ...S1_GONE,
        departures: { left: { s1: "b1" }, superseded: { s1: "b1" }, absent: ["s1"] },
        unsure: ["s1"],
      },
    ],
    [
      "whose new run ended is out",
      {
        members: [member(s1, { status: "left", boot: "b2" }), member(s2)],
        departures: { superseded: { s1: "b1" } },
      },
      { ...S1_GONE, departures: { left: {}, superseded: { s1: "b1" }, absent: ["s1"] } },
    ],
    [
      "is at its declared address wherever it was before",
      { previous: [{ ...s1, address: "10.20.30.99", port: 1 }, s2] },
      {},
    ],
    [
      "not declared any more is out while it still gossips",
      { declaration: { nodes: [s2], handMade } },
      {
        nodes: [s2],
        refused: ['member "s1" at 10.20.30.11: it is not declared yet, or not any more'],
      },
    ],
  ])("%s", (_rule, scene, expected) => {
    expect(decide(scene)).toEqual({ ...settled, ...expected });
  });
});

describe("a node added by hand", () => {
  const declaration = { nodes: [], handMade };
  const none = { declaration, members: [], previous: [] };

  test.each<[string, Scene, ProxyNode[], unsure?: string[]]>([
    ["alive is in", { members: [byHand(h1)] }, [h1]],
    ["alive is in, on the declared port", { members: [byHand(h1)], previous: [h1] }, [h1]],
    ["only announced is in", { announced: [byHand(h1)] }, [h1]],
    [
      "that failed, never seen before, is not in",
      { members: [byHand(h1, { status: "failed" })] },
      [],
    ],
    ["that left is out", { members: [byHand(h1, { status: "left" })], previous: [h1] }, []],
    [
      "that said it leaves is out",
      { members: [byHand(h1)], previous: [h1], departures: { left: { h1: "b1" } } },
      [],
      ["h1"],
    ],
    [
      "failed and down is out",
      { members: [byHand(h1, { status: "failed" })], previous: [h1], health: { h1: "down" } },
      [],
    ],
    [
      "failed but serving is in",
      { members: [byHand(h1, { status: "failed" })], previous: [h1], health: { h1: "serving" } },
      [h1],
      ["h1"],
    ],
    [
      "failed without a check stays in",
      { members: [byHand(h1, { status: "failed" })], previous: [h1] },
      [h1],
      ["h1"],
    ],
    [
      "failed at an address that it was not in with is not in",
      { members: [byHand(h1, { status: "failed" })], previous: [{ ...h2, name: "h1" }] },
      [],
    ],
    ["unknown stays in", { previous: [h1], health: { h1: "down" } }, [h1], ["h1"]],
    ["unknown stays in, on the declared port", { previous: [{ ...h1, port: 1 }] }, [h1], ["h1"]],
    [
      "unknown but serving is in",
      { previous: [h1], health: { h1: "serving" }, lost: ["h1"] },
      [h1],
      ["h1"],
    ],
    ["unknown and lost is forgotten", { previous: [h1], health: { h1: "down" }, lost: ["h1"] }, []],
    ["outside the range is forgotten", { previous: [s1], health: { s1: "serving" } }, []],
    ["of any other name and role is not in", { members: [balancer], previous: [] }, []],
    [
      "moved is at its new address",
      { members: [byHand({ ...h2, name: "h1" })], previous: [h1] },
      [{ ...h2, name: "h1" }],
    ],
  ])("%s", (_rule, scene, nodes, unsure = []) => {
    const { left = {} } = scene.departures ?? {};
    expect(decide({ ...none, ...scene })).toEqual({
      ...settled,
      nodes,
      departures: { ...settled.departures, left },
      unsure,
    });
  });

  test("that lives and serves on for longer than a stop takes never said that it leaves", () => {
    const departures = { left: { h1: "b1" } };
    expect(decide({ ...none, members: [byHand(h1)], departures, staying: ["h1"] })).toEqual({
      ...settled,
      nodes: [h1],
    });
  });

  // Docker gives a free address again at once, and then the heir answers the dead one's checks.
  const heir = { ...h1, name: "h2" };
  test.each<[string, Partial<Member>, Scene]>([
    ["that left", { status: "left" }, {}],
    ["that said it leaves", {}, { departures: { left: { h1: "b1" } } }],
    ["that failed", { status: "failed" }, { health: { h1: "down" } }],
    ["that failed and seems to serve", { status: "failed" }, { health: { h1: "serving" } }],
  ])("may take the address of one %s", (_how, end, scene) => {
    const members = [byHand(h1, end), byHand(heir)];
    for (const all of [members, members.toReversed()]) {
      expect(decide({ ...none, ...scene, members: all, previous: [h1] }).nodes).toEqual([heir]);
    }
  });

  test("may take the address of one that moved", () => {
    const members = [byHand({ ...h2, name: "h1" }), byHand(heir)];
    expect(decide({ ...none, members, previous: [h1] }).nodes).toEqual([
      { ...h2, name: "h1" },
      heir,
    ]);
  });

  test("is not moved by an announcement while it lives", () => {
    const announced = [byHand({ ...h2, name: "h1" }, { boot: "b2" })];
    expect(decide({ ...none, members: [byHand(h1)], announced, previous: [h1] })).toEqual({
      ...settled,
      nodes: [h1],
      refused: ['member "h1" at 10.20.30.231: h1 is at 10.20.30.230'],
    });
  });

  test("has its place whatever the order of members with like names", () => {
    const members = [byHand(h1), byHand({ ...h2, name: "h01" })];
    const [one, other] = [members, members.toReversed()];
    expect(decide({ ...none, members: one })).toEqual(decide({ ...none, members: other }));
  });
});

test("declared nodes are checked, and those by hand that are said to have left", () => {
  const declaration = { nodes: [s1], handMade };
  const outside = byHand(s2, { boot: "b1" });
  const members = [member(s1), byHand(h1), byHand(h2), outside];
  const departures = {
    left: { s1: "b1", h1: "b1", h2: "b0", s2: "b1" },
    superseded: {},
    absent: [],
  };
  expect(checkable(declaration, members, departures)).toEqual([s1, h1]);
});

test("the loss of all gossip at once changes nothing", () => {
  const nodes = [h1, h2, s1];
  const scene = {
    members: [],
    previous: nodes,
    departures: { absent: ["s2"] },
    health: { s1: "serving", s2: "down", h1: "serving" } as const,
  };
  expect(decide(scene)).toEqual({
    ...settled,
    nodes,
    departures: { ...settled.departures, absent: ["s2"] },
    unsure: ["h1", "h2", "s1", "s2"],
  });
});

test("nodes are in natural order", () => {
  const declaration = { nodes: [s10, s2, s1], handMade };
  const members = [s10, h2, s2, h1, s1].map((n) => (n.name < "s" ? byHand(n) : member(n)));
  expect(decide({ declaration, members }).nodes).toEqual([h1, h2, s1, s2, s10]);
});

test("what is remembered of a node ends when gossip forgets it", () => {
  const departures = {
    left: { s1: "b0", x: "b1" },
    superseded: { s2: "b0", x: "b1" },
    absent: ["x"],
  };
  expect(decide({ departures }).departures).toEqual({
    left: { s1: "b0" },
    superseded: { s2: "b0" },
    absent: [],
  });
});

test("what is remembered of a node stays while gossip is silent", () => {
  const departures = { left: { s1: "b1" }, superseded: { s2: "b0" }, absent: ["s1"] };
  expect(decide({ members: [], previous: [s2], departures }).departures).toEqual(departures);
});

const NAME = "the name is not a host name label (a-z, 0-9, -)";
const RANGE = "nodes added by hand have an address in 10.20.30.224/27";
const REFUSALS: [string, Member, string][] = [
  [
    "a name with a line of configuration",
    byHand({ ...h1, name: "s1\n server evil 6.6.6.6:80" }),
    `member "s1\\n server evil 6.6.6.6:80" at 10.20.30.230: ${NAME}`,
  ],
  [
    "a name with spaces",
    byHand({ ...h1, name: "a b;c" }),
    `member "a b;c" at 10.20.30.230: ${NAME}`,
  ],
  ["a path", byHand({ ...h1, name: "../x" }), `member "../x" at 10.20.30.230: ${NAME}`],
  [
    "a name with JSON",
    byHand({ ...h1, name: 'a"},{"host":"x' }),
    `member "a\\"},{\\"host\\":\\"x" at 10.20.30.230: ${NAME}`,
  ],
  [
    "a long name",
    byHand({ ...h1, name: "x".repeat(300) }),
    `member "${"x".repeat(80)}"… at 10.20.30.230: ${NAME}`,
  ],
  [
    "a name one character too long",
    byHand({ ...h1, name: "x".repeat(64) }),
    `member "${"x".repeat(64)}" at 10.20.30.230: ${NAME}`,
  ],
  ["no name", byHand({ ...h1, name: "" }), `member "" at 10.20.30.230: ${NAME}`],
  ["a name in upper case", member({ ...s1, name: "S1" }), `member "S1" at 10.20.30.11: ${NAME}`],
  [
    "a long address",
    byHand({ ...h1, address: "1".repeat(300) }),
    `member "h1" at ${"1".repeat(80)}: ${RANGE}`,
  ],
  [
    "an address outside the range",
    byHand(node("h1", 223)),
    `member "h1" at 10.20.30.223: ${RANGE}`,
  ],
  ["no address", byHand({ ...h1, address: "" }), `member "h1" at : ${RANGE}`],
  [
    "an address with arguments",
    byHand({ ...h1, address: "10.20.30.230:3000 weight 256" }),
    `member "h1" at 10.20.30.230:3000 weight 256: ${RANGE}`,
  ],
  [
    "a declared node's address",
    byHand({ ...s1, name: "h1" }),
    `member "h1" at 10.20.30.11: ${RANGE}`,
  ],
  [
    "a declared name at another address",
    member({ ...h1, name: "s1" }),
    'member "s1" at 10.20.30.230: s1 is at 10.20.30.11',
  ],
  [
    "a declared name at another address, by hand",
    byHand({ ...h1, name: "s1" }),
    'member "s1" at 10.20.30.230: s1 is at 10.20.30.11',
  ],
  [
    "a second balancer",
    byHand(h1, { role: "balancer" }),
    'member "h1" at 10.20.30.230: the balancer is ha; there is one',
  ],
  [
    "a backend with the balancer's name",
    byHand({ ...h1, name: "ha" }),
    'member "ha" at 10.20.30.230: the balancer is ha; there is one',
  ],
  [
    "a declared node as balancer",
    member(s1, { role: "balancer" }),
    'member "s1" at 10.20.30.11: the balancer is ha; there is one',
  ],
  [
    "another role",
    byHand(h1, { role: "observer" }),
    'member "h1" at 10.20.30.230: the role is neither balancer nor backend',
  ],
  [
    "no role",
    byHand(h1, { role: "" }),
    'member "h1" at 10.20.30.230: the role is neither balancer nor backend',
  ],
  [
    "another origin",
    byHand(h1, { origin: "swarm" }),
    'member "h1" at 10.20.30.230: the origin is neither pulumi nor hand',
  ],
  [
    "an undeclared node of Pulumi's",
    member(h1),
    'member "h1" at 10.20.30.230: it is not declared yet, or not any more',
  ],
];

describe("refused:", () => {
  test.each(REFUSALS)("%s, as a member", (_what, rogue, line) => {
    const members = [balancer, member(s1), member(s2)];
    for (const all of [
      [rogue, ...members],
      [...members, rogue],
    ]) {
      expect(decide({ members: all })).toEqual({ ...settled, refused: [line] });
    }
  });

  test.each(REFUSALS)("%s, as an announcement", (_what, rogue, line) => {
    const announced = [{ ...rogue, boot: "b2" }];
    expect(decide({ announced })).toEqual({ ...settled, refused: [line] });
  });

  test.each(REFUSALS)("%s, without a word once it is gone", (_what, rogue) => {
    const gone: Member = { ...rogue, status: "failed" };
    expect(decide({ members: [member(s1), member(s2), gone] })).toEqual(settled);
  });

  const nodes = [h1, s1, s2];
  const thief = byHand({ ...h1, name: "a1" });
  const line = 'member "a1" at 10.20.30.230: h1 has this address';
  const settledMembers = [member(s1), member(s2)];
  test.each<[string, Scene]>([
    ["a node that is in", { members: [thief, byHand(h1), ...settledMembers], previous: nodes }],
    ["one that gossip lost", { members: settledMembers, announced: [thief], previous: nodes }],
    ["a living one", { members: [byHand(h1), ...settledMembers], announced: [thief] }],
  ])("the address of %s", (_whose, scene) => {
    const { nodes: decided, refused } = decide(scene);
    expect({ decided, refused }).toEqual({ decided: nodes, refused: [line] });
  });

  test("a declared node's address inside the range", () => {
    const declaration = { nodes: [s1, node("s2", 230)], handMade };
    const members = [byHand(h1), member(s1), member(node("s2", 230))];
    expect(decide({ declaration, members })).toEqual({
      ...settled,
      nodes: declaration.nodes,
      refused: ['member "h1" at 10.20.30.230: s2 has this address'],
    });
  });

  test("each member for itself", () => {
    const rogues = [byHand(h1, { role: "" }), byHand({ ...h1, name: "S1" })];
    expect(decide({ members: [member(s1), ...rogues, member(s2)] }).refused).toHaveLength(2);
  });
});

const template = readFileSync("haproxy/haproxy.cfg.hbs", "utf8");
const [{ proxy }] = planTopology(LAB).balancers;

const anyText = fc.oneof(
  fc.constantFrom("", " ", "\n", "\0", "__proto__", "constructor", "../x", "a b;c", "{{x}}", "#"),
  fc.constantFrom("S1", "s1 ", "s1\n", "s1\n  server evil 6.6.6.6:80", 'a"},{"host":"x', "-a"),
  fc.string({ unit: "binary" }),
  fc.nat(300).map((length) => "x".repeat(length)),
);
const nodeName = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom("s1", "s2", "s3", "s10", "h1", "h2", "h3", "h01", "ha") },
  fc.stringMatching(NODE_NAME),
);
const rangeAddress = fc.integer({ min: 224, max: 228 }).map((host) => node("", host).address);
const nodeAddress = fc.oneof(
  fc.integer({ min: 11, max: 15 }).map((host) => node("", host).address),
  rangeAddress,
);
const anyMember: fc.Arbitrary<Member> = fc.record({
  name: fc.oneof({ weight: 4, arbitrary: nodeName }, anyText),
  address: fc.oneof(
    { weight: 4, arbitrary: nodeAddress },
    fc.ipV4(),
    fc.ipV6(),
    fc.constantFrom("10.20.30.230 backup", "10.20.30.230\n", "10.20.30.0230", "10.20.30.230/32"),
    anyText,
  ),
  status: fc.constantFrom("alive", "alive", "alive", "leaving", "left", "failed"),
  role: fc.oneof(
    { weight: 4, arbitrary: fc.constant("backend") },
    fc.constant("balancer"),
    anyText,
  ),
  origin: fc.oneof({ weight: 4, arbitrary: fc.constantFrom("hand", "pulumi") }, anyText),
  boot: fc.oneof({ weight: 4, arbitrary: fc.constantFrom("b1", "b2") }, anyText),
});
const boots = fc.dictionary(fc.oneof(nodeName, anyText), fc.constantFrom("b1", "b2"));
const declaredNodes = fc
  .subarray([s1, s2, node("s3", 13), s10, node("s4", 224)])
  .chain((nodes) => fc.shuffledSubarray(nodes, { minLength: nodes.length }));
/** As the folder's reader gives them: names are unique, addresses are addresses. */
const previousNodes = fc.uniqueArray(
  fc.record({ name: nodeName, address: nodeAddress, port: fc.integer({ min: 1, max: 65535 }) }),
  { selector: ({ name }) => name, maxLength: 8 },
);
const anyScene = fc.record({
  declaration: declaredNodes.map((nodes) => ({ nodes, handMade })),
  isOpen: fc.boolean(),
  // Serf has one record by a name.
  members: fc.uniqueArray(anyMember, { selector: ({ name }) => name, maxLength: 12 }),
  announced: fc.uniqueArray(
    anyMember.map((said): Member => ({ ...said, status: "alive" })),
    { selector: ({ name }) => name, maxLength: 6 },
  ),
  departures: fc.record({ left: boots, superseded: boots, absent: fc.array(nodeName) }),
  previous: previousNodes,
  health: fc.dictionary(nodeName, fc.constantFrom<Health>("serving", "down", "unknown")),
  lost: fc.array(nodeName),
  staying: fc.array(nodeName),
});

/** Enough to meet three nodes that meet at one address. */
const RUNS = { numRuns: 2000 };

describe("whatever members say,", () => {
  test("a node is a declared one or a proper one by hand", () => {
    fc.assert(
      fc.property(anyScene, (scene) => {
        const { nodes } = decide(scene);
        for (const decided of nodes) {
          const declared = scene.declaration.nodes.find(({ name }) => name === decided.name);
          if (declared) expect(decided).toEqual(declared);
          else {
            expect(decided).toEqual({
              name: expect.stringMatching(NODE_NAME) as string,
              address: decided.address,
              port: handMade.port,
            });
            expect(isInNetwork(decided.address, handMade.range)).toBe(true);
          }
        }
      }),
      RUNS,
    );
  });

  test("no name and no address has two nodes", () => {
    fc.assert(
      fc.property(anyScene, (scene) => {
        const { nodes } = decide(scene);
        expect(new Set(nodes.map(({ name }) => name)).size).toBe(nodes.length);
        expect(new Set(nodes.map(({ address }) => address)).size).toBe(nodes.length);
      }),
      RUNS,
    );
  });

  test("the same evidence again decides the same, in whatever order it comes", () => {
    fc.assert(
      fc.property(anyScene, (scene) => {
        const { nodes, departures } = decide(scene);
        for (const members of [scene.members, scene.members.toReversed()]) {
          const again = decide({ ...scene, members, previous: nodes, departures });
          expect({ nodes: again.nodes, departures: again.departures }).toEqual({
            nodes,
            departures,
          });
        }
      }),
      RUNS,
    );
  });

  test("a rogue with a declared name changes nothing but what is refused", () => {
    const rogues = fc.array(anyMember, { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(anyScene, rogues, fc.nat(12), (scene, said, at) => {
        const { nodes } = scene.declaration;
        fc.pre(nodes.length > 0);
        const aliens = said.flatMap((alien, i) => {
          const { name, address } = nodes[i % nodes.length];
          const isGenuine = alien.address === address && alien.role === "backend";
          return isGenuine ? [] : [{ ...alien, name }];
        });
        const genuine = { ...scene, members: [balancer, ...scene.members] };
        const { members, announced } = genuine;
        const { refused, ...decided } = decide(genuine);
        const asMembers = decide({ ...genuine, members: members.toSpliced(at, 0, ...aliens) });
        const asWord = decide({ ...genuine, announced: announced.toSpliced(at, 0, ...aliens) });
        expect(asMembers).toEqual({ ...decided, refused: asMembers.refused });
        expect(asWord).toEqual({ ...decided, refused: asWord.refused });
        expect(asMembers.refused.length).toBeGreaterThanOrEqual(refused.length);
      }),
      RUNS,
    );
  });

  test("a refusal is one line that a terminal can show", () => {
    fc.assert(
      fc.property(anyScene, (scene) => {
        for (const line of decide(scene).refused) {
          expect([...line].filter((character) => character < " ")).toEqual([]);
        }
      }),
      RUNS,
    );
  });

  test("a node is one server line, and all else in haproxy.cfg stays", () => {
    const { rest } = splitServers(renderHaproxyConfig(template, proxy, []));
    fc.assert(
      fc.property(anyScene, (scene) => {
        const { nodes } = decide(scene);
        const text = renderHaproxyConfig(template, proxy, nodes);
        const split = splitServers(text);
        expect(split.rest).toBe(rest);
        expect(text.split("\n")).toHaveLength(rest.split("\n").length + nodes.length);
        expect([...split.servers].map(([name, args]) => [name, args.split(" ")[0]])).toEqual(
          nodes.map(({ name, address, port }) => [name, `${address}:${port}`]),
        );
      }),
      { numRuns: 300 },
    );
  });
});

test("who said that it leaves has left, and not failed, for people", () => {
  const [gone, lost, back] = [
    { ...member(s1), boot: "1", status: "failed" as const },
    { ...member(s2), boot: "2", status: "failed" as const },
    { ...member({ ...s2, name: "s3" }), boot: "3", status: "alive" as const },
  ];
  const departures = {
    left: { s1: "1", s2: "an earlier run", s3: "3" },
    superseded: {},
    absent: [],
  };
  expect(correctStatus([gone, lost, back], departures)).toEqual([
    { ...gone, status: "left" },
    lost,
    back,
  ]);
});

describe("on a Swarm, where nodes are in by their own word", () => {
  const open = { declaration: { nodes: [], handMade }, isOpen: true };
  const at = (host: number, change: Partial<Member> = {}): Member => ({
    ...member({ ...s1, address: `10.20.30.${host}` }),
    origin: "pulumi",
    ...change,
  });
  const placed = (host: number) => [{ name: "s1", address: `10.20.30.${host}`, port: 3000 }];

  test.each<[string, Scene, ReturnType<typeof placed>]>([
    ["a node that lives is in", { members: [balancer, at(230)], previous: [] }, placed(230)],
    [
      "one that lives elsewhere now is in there",
      { members: [balancer, at(231)], previous: placed(230) },
      placed(231),
    ],
    [
      "its own word counts before gossip knows its new place",
      {
        members: [balancer, at(230, { status: "failed", boot: "old" })],
        announced: [at(231, { boot: "new" })],
        previous: placed(230),
      },
      placed(231),
    ],
    [
      "and after it, while it serves there",
      {
        members: [balancer, at(230, { status: "failed", boot: "old" })],
        previous: placed(231),
        health: { s1: "serving" },
      },
      placed(231),
    ],
    [
      "one that failed and is down is out",
      {
        members: [balancer, at(230, { status: "failed" })],
        previous: placed(230),
        health: { s1: "down" },
      },
      [],
    ],
    [
      "and comes back by its own word alone",
      {
        members: [balancer, at(230, { status: "failed" })],
        previous: [],
        health: { s1: "serving" },
      },
      [],
    ],
    [
      "a place outside the network is not kept for it",
      {
        members: [balancer, at(230, { status: "failed" })],
        previous: placed(11),
        health: { s1: "serving" },
      },
      [],
    ],
    ["one at an address of no node is not", { members: [balancer, at(11)], previous: [] }, []],
  ])("%s", (_what, scene, nodes) => {
    expect(decide({ ...open, ...scene }).nodes).toEqual(nodes);
  });

  test("where addresses are declared it is not", () => {
    const { nodes, refused } = decide({ ...open, isOpen: false, members: [balancer, at(230)] });
    expect({ nodes, refused }).toEqual({
      nodes: [],
      refused: [expect.stringContaining("it is not declared yet, or not any more")],
    });
  });
});
