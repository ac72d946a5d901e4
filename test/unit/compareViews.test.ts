import type { ClusterView, Member, ServerStatus } from "../../configurator/protocol/control";
import type { ProxyNode } from "../../haproxy/render";
import type { LabContainer } from "../../state/inventory";
import { compareViews } from "../../cli/compareViews";

const addresses: Record<string, string> = {
  ha: "10.20.30.42",
  s1: "10.20.30.11",
  s2: "10.20.30.12",
  s9: "10.20.30.254",
};
const node = (name: string): ProxyNode => ({ name, address: addresses[name], port: 3000 });
const member = (name: string, more: Partial<Member> = {}): Member => ({
  name,
  address: addresses[name],
  status: "alive",
  role: name === "ha" ? "balancer" : "backend",
  origin: name === "s9" ? "hand" : "pulumi",
  boot: "b",
  ...more,
});
const server = (name: string, more: Partial<ServerStatus> = {}): ServerStatus => ({
  ...node(name),
  status: "UP",
  check: "L7OK",
  checking: false,
  ...more,
});
const container = (name: string, more: Partial<LabContainer> = {}): LabContainer => ({
  id: name,
  name,
  containerName: name,
  role: name === "ha" ? "balancer" : "backend",
  origin: name === "s9" ? "hand" : "pulumi",
  state: "running",
  address: addresses[name],
  ...more,
});

const cluster: ClusterView = {
  declared: [node("s1"), node("s2")],
  members: ["ha", "s9", "s2", "s1"].map((name) => member(name)),
  nodes: ["s1", "s2", "s9"].map(node),
  file: ["s1", "s2", "s9"].map(node),
  servers: ["s9", "s2", "s1"].map((name) => server(name)),
};
const containers = ["ha", "s1", "s2", "s9"].map((name) => container(name));
const without = <T extends { name: string }>(list: T[] | undefined, ...names: string[]) =>
  list?.filter(({ name }) => !names.includes(name));

test("a lab in which all agree", () => {
  expect(compareViews({ ha: cluster }, containers)).toEqual({
    header: [
      "node",
      "address",
      "declared",
      "gossip",
      "/nodes",
      "cfg",
      "HAProxy",
      "check",
      "container",
    ],
    rows: [
      ["s1", "10.20.30.11", "yes", "alive", "yes", "yes", "UP", "L7OK", "running"],
      ["s2", "10.20.30.12", "yes", "alive", "yes", "yes", "UP", "L7OK", "running"],
      ["s9", "10.20.30.254", "by hand", "alive", "yes", "yes", "UP", "L7OK", "running"],
    ],
    disagreements: [],
  });
});

const s9Out: ClusterView = {
  ...cluster,
  members: [...without(cluster.members, "s9")!, member("s9", { status: "left" })],
  nodes: cluster.nodes.slice(0, 2),
  file: cluster.file.slice(0, 2),
  servers: without(cluster.servers, "s9"),
};

test.each<[string, ClusterView, LabContainer[], string[][]]>([
  [
    "a node added by hand that was stopped",
    s9Out,
    [...containers.slice(0, 3), container("s9", { state: "exited" })],
    [["s9", "10.20.30.254", "by hand", "left", "-", "-", "-", "-", "exited"]],
  ],
  ["one that was removed", s9Out, containers.slice(0, 3), []],
  [
    "one whose last requests still run",
    { ...s9Out, servers: [...s9Out.servers!, server("s9", { status: "MAINT", check: "L7OK" })] },
    containers.slice(0, 3),
    [["s9", "10.20.30.254", "by hand", "left", "-", "-", "MAINT", "L7OK", "-"]],
  ],
])("%s is no disagreement", (_, views, there, rows) => {
  const compared = compareViews({ ha: views }, there);
  expect(compared.rows.slice(2)).toEqual(rows);
  expect(compared.disagreements).toEqual([]);
});

test.each<[string, Partial<ClusterView>, LabContainer[], string[]]>([
  [
    "a declared node that was stopped",
    {
      members: [member("s1"), member("s2", { status: "left" }), member("s9")],
      nodes: [node("s1"), node("s9")],
      file: [node("s1"), node("s9")],
      servers: without(cluster.servers, "s2"),
    },
    [container("s1"), container("s2", { state: "exited" }), container("s9")],
    [
      "s2: declared; but its container exited, left in gossip, not in /nodes, not in haproxy.cfg, " +
        "not in HAProxy.",
    ],
  ],
  [
    "a paused one",
    {
      members: [member("s1"), member("s2", { status: "failed" }), member("s9")],
      servers: [server("s1"), server("s2", { status: "DOWN", check: "L4TOUT" }), server("s9")],
    },
    [container("s1"), container("s2", { state: "paused" }), container("s9")],
    [
      "s2: declared, its container paused, in /nodes, in haproxy.cfg; but failed in gossip, " +
        "DOWN in HAProxy (last check L4TOUT).",
    ],
  ],
  [
    "a file of a node that nobody knows",
    { nodes: [...cluster.nodes, { name: "x", address: "10.20.30.77", port: 1 }] },
    containers,
    [
      "x: in /nodes; but not declared, without a container, unknown to gossip, " +
        "not in haproxy.cfg, not in HAProxy.",
    ],
  ],
  [
    "a haproxy.cfg edited by hand",
    {
      file: [{ ...node("s1"), address: "10.20.30.99" }, { ...node("s2"), port: 3001 }, node("s9")],
    },
    containers,
    [
      "s1: the declaration has 10.20.30.11:3000; but haproxy.cfg has 10.20.30.99:3000.",
      "s2: the declaration has 10.20.30.12:3000; but haproxy.cfg has 10.20.30.12:3001.",
    ],
  ],
  [
    "a node in maintenance",
    { servers: [server("s1", { status: "MAINT", check: "" }), server("s2"), server("s9")] },
    containers,
    [
      "s1: declared, its container running, alive in gossip, in /nodes, in haproxy.cfg; " +
        "but MAINT in HAProxy.",
    ],
  ],
  [
    "a member that the balancer refuses",
    { members: [...cluster.members!, member("s3", { origin: "hand", address: "10.20.30.254" })] },
    containers,
    [
      "s3: alive in gossip; but without a container, not in /nodes, not in haproxy.cfg, " +
        "not in HAProxy.",
    ],
  ],
  [
    "a balancer without gossip",
    { members: undefined },
    containers,
    ["The balancer's gossip agent does not answer."],
  ],
  [
    "what the admin CLI changed",
    { runtime: ["server nodes/s1: got weight 0, expected 1"] },
    containers,
    ["HAProxy, server nodes/s1: got weight 0, expected 1; npx pulumi up --refresh undoes it."],
  ],
  ["a balancer without HAProxy", { servers: undefined }, containers, ["HAProxy does not run."]],
])("%s is a disagreement", (_, change, there, disagreements) => {
  expect(compareViews({ ha: { ...cluster, ...change } }, there).disagreements).toEqual(
    disagreements,
  );
});

describe("two balancers", () => {
  const pair = [
    container("ha", { role: "front" }),
    ...["ha1", "ha2"].map((name) => container(name, { role: "balancer", address: "10.20.30.42" })),
    ...containers.slice(1),
  ];

  test("which agree show as one", () => {
    expect(compareViews({ ha1: cluster, ha2: cluster }, pair)).toEqual(
      compareViews({ ha: cluster }, containers),
    );
  });

  test("are named where they differ", () => {
    const ha2: ClusterView = {
      ...cluster,
      declared: cluster.declared.slice(0, 1),
      servers: [server("s1"), server("s2", { status: "DOWN", check: "L4CON" }), server("s9")],
      runtime: ["s1 has weight 5"],
    };
    const { rows, disagreements } = compareViews({ ha1: cluster, ha2 }, pair);
    expect(rows[1]).toEqual([
      ...["s2", "10.20.30.12", "yes / -", "alive", "yes", "yes", "UP / DOWN", "L7OK / L4CON"],
      "running",
    ]);
    expect(disagreements).toEqual([
      "HAProxy of ha2, s1 has weight 5; npx pulumi up --refresh undoes it.",
      "s2: declared to ha1, its container running, alive in gossip of ha1, in /nodes of ha1, " +
        "in haproxy.cfg of ha1, UP in HAProxy of ha1 (last check L7OK), alive in gossip of ha2, " +
        "in /nodes of ha2, in haproxy.cfg of ha2; but not declared to ha2, " +
        "DOWN in HAProxy of ha2 (last check L4CON).",
    ]);
  });

  test("of which one does not run are one, and it is named", () => {
    const down = pair.map((it) => (it.name === "ha1" ? { ...it, state: "exited" } : it));
    expect(compareViews({ ha2: cluster }, down).disagreements).toEqual([
      "The balancer ha1 does not run: its container is exited.",
    ]);
  });
});

test("a member's name that is none is quoted", () => {
  const name = "s3\ns4 \x1b[2J\x9b2J";
  const views = {
    ...cluster,
    members: [...cluster.members!, member(name, { address: "10.20.30.77" })],
  };
  const { rows, disagreements } = compareViews({ ha: views }, containers);
  const shown = '"s3\\ns4 \\u001b[2J?2J"';
  expect(rows).toContainEqual([shown, "10.20.30.77", "-", "alive", "-", "-", "-", "-", "-"]);
  expect(disagreements).toEqual([
    `${shown}: alive in gossip; but not declared, without a container, not in /nodes, not in ` +
      "haproxy.cfg, not in HAProxy.",
  ]);
});

test("what can't be known is shown as such", () => {
  const views = { ...cluster, members: undefined, servers: undefined };
  expect(compareViews({ ha: views }, containers).rows[0]).toEqual([
    "s1",
    "10.20.30.11",
    "yes",
    "?",
    "yes",
    "yes",
    "?",
    "-",
    "running",
  ]);
});
