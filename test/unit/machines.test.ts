import { spawnSync } from "node:child_process";
import { describeMachines, describeNext, describeUse } from "../../cli/describeMachines";
import { chooseOuter, readOrder } from "../../cli/machines";
import type { Machine } from "../../machines/machines";
import { describeRegistry } from "../../machines/registry";
import { decideJoin, listStrangers, type Place, type SwarmNode } from "../../machines/swarm";

test.each([
  ["", { does: "list" }],
  ["list", { does: "list" }],
  ["down", { does: "down" }],
  ["up", { does: "up", number: 3 }],
  ["1", { does: "up", number: 1 }],
  ["7", { does: "up", number: 7 }],
  ["kill 2", { does: "kill", number: 2 }],
  ["start 2", { does: "start", number: 2 }],
])("npm run machines -- %s", (line, order) => {
  expect(readOrder(line.split(" ").filter(Boolean))).toEqual(order);
});

test.each(["0", "8", "12", "-1"])("%s machines are refused", (text) => {
  const message = `got "${text}", expected a number from 1 to 7`;
  expect(() => readOrder([text])).toThrow(message);
  expect(() => readOrder(["kill", text])).toThrow(message);
});

test.each(["stop", "stop 2", "kill", "start", "kill 2 3", "3 4", "list 2", "up 3", "down now"])(
  "%s is answered with what there is",
  (line) => {
    expect(() => readOrder(line.split(" "))).toThrow(/^usage: npm run machines -- \[N \| up \|/);
  },
);

test.each([
  [["--help"], /^usage: npm run machines/, 0],
  [["--nosuch"], /Unknown option '--nosuch'\n\nusage: npm run machines/, 2],
  [["stop"], /usage: npm run machines/, 2],
  [["8"], /got "8", expected a number from 1 to 7/, 2],
])("npm run machines -- %s makes nothing", (args, said, code) => {
  const script = ["--require", "tsx/cjs", "cli/machines.ts", ...args];
  const { stdout, stderr, status } = spawnSync(process.execPath, script, { encoding: "utf8" });
  expect(stdout + stderr).toMatch(said);
  expect(status).toBe(code);
});

const socket = "unix:///var/run/docker.sock";
const machine = { address: "tcp://127.0.0.1:21000", source: "DOCKER_HOST" };

test("the machines are on an engine of this host, also where DOCKER_HOST names one of them", () => {
  const endpoint = { address: "unix:///run/other.sock", source: "DOCKER_HOST" };
  expect(chooseOuter(endpoint, undefined)).toBe("unix:///run/other.sock");
  expect(chooseOuter(endpoint, socket)).toBe("unix:///run/other.sock");
  expect(chooseOuter(machine, socket)).toBe(socket);
  expect(() => chooseOuter(machine, undefined)).toThrow(
    "the Docker engine is tcp://127.0.0.1:21000 (DOCKER_HOST), which may be on another host; " +
      "the machines need one at a unix:// address: unset that",
  );
});

const machines: Machine[] = [1, 2].map((number) => ({
  number,
  name: `machine${number}`,
  state: number === 1 ? "running" : "exited",
  address: `10.213.1.1${number}`,
  dockerHost: `tcp://127.0.0.1:210${number}0`,
  url: `http://127.0.0.1:210${number}1`,
  statsUrl: `http://127.0.0.1:210${number}2`,
}));

test("what there is, a line each", () => {
  const swarm = { machine1: "ready", machine2: "down" };
  expect(describeMachines({ machines, swarm, registry: "running" })).toEqual([
    "machine           state    role      in the Swarm  port 80                 port 1936               Docker API",
    "machine1          running  manager   ready         http://127.0.0.1:21011  http://127.0.0.1:21012  tcp://127.0.0.1:21010",
    "machine2          exited   worker    down          http://127.0.0.1:21021  http://127.0.0.1:21022  tcp://127.0.0.1:21020",
    "machine-registry  running  registry  -             -                       -                       -",
  ]);
});

test("what there is while the manager does not answer and the registry is gone", () => {
  expect(describeMachines({ machines: [machines[1]], swarm: {}, registry: undefined })).toEqual([
    "machine   state   role    in the Swarm  port 80                 port 1936               Docker API",
    "machine2  exited  worker  unknown       http://127.0.0.1:21021  http://127.0.0.1:21022  tcp://127.0.0.1:21020",
  ]);
});

test("how one works on the Swarm", () => {
  expect(describeUse("tcp://127.0.0.1:21010", "/my cache/registry-password")).toEqual([
    "export DOCKER_HOST=tcp://127.0.0.1:21010",
    "npx pulumi stack init swarm",
    "npx pulumi config set orchestrator swarm",
    "npx pulumi config set registry machine-registry:5000",
    "npx pulumi config set registryUser lab",
    'npx pulumi config set --secret registryPassword < "/my cache/registry-password"',
    "npx pulumi config set --secret statsPassword",
    "npx pulumi up",
  ]);
});

test("what to try next", () => {
  expect(describeNext(2)).toEqual([
    "npm run machines -- kill 2     as if the machine lost its power",
    "npm run machines -- start 2    bring it back",
    "npm run machines               what there is",
    "npm run machines -- down       take all away",
  ]);
});

test("the registry asks for a password and has no rights", () => {
  expect(describeRegistry("image:1")).toEqual({
    Image: "image:1",
    Entrypoint: ["docker-registry", "serve", "/etc/registry.yml"],
    Env: [
      "REGISTRY_HTTP_ADDR=0.0.0.0:5000",
      "REGISTRY_AUTH=htpasswd",
      "REGISTRY_AUTH_HTPASSWD_REALM=machine-registry",
      "REGISTRY_AUTH_HTPASSWD_PATH=/etc/registry.htpasswd",
    ],
    HostConfig: {
      Binds: ["machine-registry:/var/lib/registry"],
      CapDrop: ["ALL"],
      SecurityOpt: ["no-new-privileges"],
    },
  });
});

const node = (ID: string, Hostname: string): SwarmNode => ({
  ID,
  Description: { Hostname },
  Status: { State: "ready" },
});
const place = (LocalNodeState: Place["LocalNodeState"], NodeID: string): Place => ({
  LocalNodeState,
  NodeID,
});
const nodes = [node("a", "machine1"), node("b", "machine2")];

test.each([
  ["a new machine joins", place("inactive", ""), "join"],
  ["a member stays", place("active", "b"), "stay"],
  ["a member that comes back stays", place("pending", "b"), "stay"],
  ["one of a former Swarm leaves that", place("active", "z"), "leave and join"],
  ["one that can't find its manager too", place("error", "z"), "leave and join"],
])("%s", (_, seen, way) => {
  expect(decideJoin(seen, nodes)).toBe(way);
});

test("the nodes of machines that were made anew are forgotten, others are not", () => {
  const all = [...nodes, node("old", "machine2"), node("other", "laptop"), node("c", "machine3")];
  const names = ["machine1", "machine2"];
  expect(listStrangers(all, names, [place("active", "a"), place("active", "b")])).toEqual(["old"]);
});
