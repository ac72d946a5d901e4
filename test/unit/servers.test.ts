import { readFileSync } from "node:fs";
import { differInServersOnly, listServers, splitServers } from "../../configurator/servers";
import { GOLDEN_COUNTS, goldenFile, renderFor } from "../support/golden";
import { LAB } from "../support/labConfig";

const golden = (nodeCount: number) => readFileSync(goldenFile(nodeCount), "utf8");
const [none, two, three, ten] = [0, 2, 3, 10].map(golden);

const config = `# backend nodes
global
  server s0 10.0.0.0:1 of no backend
listen admin
  server cli /run/haproxy/admin.sock
backend nodes
  balance roundrobin
  # server s8 10.0.0.8:8
# a comment, not a section
  server s1 10.0.0.1:3000 check inter 500

  server-template s 3 10.0.0.9:9
  default-server check
  server s10 10.0.0.10:3000
server s7 10.0.0.7:7
  server s6 10.0.0.6:6 of no backend
backend nodes2
  server s5 10.0.0.5:5
`;

test("the servers of the backend are taken out, all other lines stay", () => {
  const lines = config.split("\n");
  expect(splitServers(config)).toEqual({
    rest: lines.filter((line) => !/^ {2}server s10? /.test(line)).join("\n"),
    servers: new Map([
      ["s1", "10.0.0.1:3000 check inter 500"],
      ["s10", "10.0.0.10:3000"],
    ]),
  });
});

test.each(["", "\n", "backend nodes", "  server s1 10.0.0.1:3000", "backend nodes\n  server s1"])(
  "%j has no servers and stays",
  (text) => {
    expect(splitServers(text)).toEqual({ rest: text, servers: new Map() });
    expect(listServers(text)).toEqual([]);
  },
);

test("servers are listed as nodes, in the file's order", () => {
  expect(listServers(config)).toEqual([
    { name: "s1", address: "10.0.0.1", port: 3000 },
    { name: "s10", address: "10.0.0.10", port: 3000 },
  ]);
});

test.each(GOLDEN_COUNTS)(
  "of %i nodes each is listed, and without them all is as with none",
  (n) => {
    const text = golden(n);
    expect(splitServers(text).rest).toBe(none);
    const lines = text.matchAll(/^ {2}server (s\d+) (10\.20\.30\.\d+):3000 /gm);
    const nodes = [...lines].map(([, name, address]) => ({ name, address, port: 3000 }));
    expect(listServers(text)).toEqual(nodes);
    expect(nodes).toHaveLength(n);
  },
);

const [s1, s2] = two.trimEnd().split("\n").slice(-2);

test.each<[string, string, string, boolean]>([
  ["nothing", two, two, true],
  ["eight servers more", two, ten, true],
  ["eight servers fewer", ten, two, true],
  ["all servers", none, ten, true],
  ["no server at the end", ten, none, true],
  ["one of two servers", two, two.replace(`${s1}\n`, ""), true],
  ["one server for another", two.replace(`${s1}\n`, ""), two.replace(`${s2}\n`, ""), true],
  ["the servers' order", two, two.replace(`${s1}\n${s2}`, `${s2}\n${s1}`), true],
  ["a line of the template", two, two.replace("balance roundrobin", "balance source"), false],
  ["a comment", two, `# ${two}`, false],
  ["an empty line", two, `${two}\n`, false],
  ["servers and a line", two, ten.replace("retries 3", "retries 2"), false],
  ["a server's argument", two, two.replace("check inter 500", "check inter 501"), false],
  ["a server's address", two, two.replace("10.20.30.11:", "10.20.30.19:"), false],
  ["a server's port", two, two.replace("11:3000", "11:3001"), false],
  ["all servers' arguments and one more server", two, three.replaceAll("fall 2", "fall 3"), false],
  ["the cookie", two, renderFor({ ...LAB, stickySessions: false }), false],
  ["another section's server", two, two.replace("server cli /run", "server cli /tmp"), false],
  [
    "a server that another section has more",
    two,
    two.replace("  server cli", "  server s9 10.20.30.19:3000\n  server cli"),
    false,
  ],
])("what differs is %s", (_what, before, after, isServersOnly) => {
  expect(differInServersOnly(before, after)).toBe(isServersOnly);
});
