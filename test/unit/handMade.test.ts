import type { ClusterView, Member, ServerStatus } from "../../configurator/protocol/control";
import type { Lab, LabContainer } from "../../state/inventory";
import { chooseRemoval, describeContainer, decideAddition, serves } from "../../cli/handMade";

const container = (name: string, more: Partial<LabContainer> = {}): LabContainer => ({
  id: `id-${name}`,
  name,
  containerName: `x-${name}`,
  role: "backend",
  origin: "pulumi",
  state: "running",
  address: "",
  ...more,
});
const lab: Lab = {
  stack: "dev",
  namePrefix: "x-",
  network: { name: "x-heig", subnet: "10.20.30.0/24" },
  containers: [
    container("ha", { role: "balancer" }),
    container("s1"),
    container("s2"),
    container("s3"),
    container("s9", { origin: "hand" }),
    container("s10", { origin: "hand", state: "exited" }),
  ],
  taken: ["10.20.30.11", "10.20.30.254", "10.20.30.253"],
};
const cluster: ClusterView = {
  declared: ["s1", "s2", "s3"].map((name) => ({ name, address: "10.20.30.11", port: 3000 })),
  nodes: [],
  file: [],
};
const member = (name: string, address: string): Member => ({
  name,
  address,
  status: "left",
  role: "backend",
  origin: "hand",
  boot: "b",
});
const all = Array.from({ length: 31 }, (_, i) => `10.20.30.${224 + i}`);

test.each<[string, string, Partial<Lab>, Member[], string]>([
  ["the highest free address", "s11", {}, [], "10.20.30.252"],
  ["the highest at all", "s11", { taken: [] }, [], "10.20.30.254"],
  ["a gap", "s11", { taken: all.filter((it) => it !== "10.20.30.240") }, [], "10.20.30.240"],
  [
    "the lowest, which is the network range's first",
    "s11",
    { taken: all.slice(1) },
    [],
    "10.20.30.224",
  ],
  [
    "not the address of another node that gossip still knows",
    "s11",
    {},
    [member("s12", "10.20.30.252"), member("s11", "10.20.30.251")],
    "10.20.30.251",
  ],
  [
    "unless there is no other",
    "s11",
    { taken: all.slice(1) },
    [member("s12", "10.20.30.224")],
    "10.20.30.224",
  ],
  [
    "a range of its own in a large network",
    "s11",
    { network: { name: "x-heig", subnet: "10.20.16.0/20" } },
    [],
    "10.20.31.254",
  ],
])("a new node gets %s", (_, name, change, members, address) => {
  expect(decideAddition(name, { ...lab, ...change }, { ...cluster, members })).toEqual({
    name,
    containerName: `x-${name}`,
    address,
  });
});

test.each([
  ["S9", 'node name: got "S9", expected 1 to 63 of a-z 0-9 and, inside, -'],
  ["s9\n", 'node name: got "s9\\n", expected 1 to 63 of a-z 0-9 and, inside, -'],
  [
    "s3",
    "s3 is declared already (s1 to s3); nodeCount says how many there are, " +
      "a node added by hand needs another name",
  ],
  ["ha", "ha is a balancer's name"],
  ["ha1", "ha1 is a balancer's name"],
  [
    "s9",
    "s9 exists already: its container x-s9 is running; " +
      "remove it with: npm run node -- remove s9 --stack dev",
  ],
  [
    "s10",
    "s10 exists already: its container x-s10 is exited; start it with: docker start x-s10, " +
      "or remove it with: npm run node -- remove s10 --stack dev",
  ],
])("no node can be called %j", (name, problem) => {
  expect(() => decideAddition(name, lab, cluster)).toThrow(new Error(problem));
});

test("a full range is said to be full", () => {
  expect(() => decideAddition("s11", { ...lab, taken: all }, cluster)).toThrow(
    "none of the 31 addresses in 10.20.30.224/27 for nodes added by hand is free; " +
      "see who has them with: npm run node -- list --stack dev",
  );
});

test("a node added by hand is made of what a declared one is", () => {
  const addition = { name: "s11", containerName: "x-s11", address: "10.20.30.252" };
  expect(describeContainer(addition, lab)).toEqual({
    name: "x-s11",
    Image: "x-lab-webapp:dev",
    Hostname: "s11",
    Env: ["ROLE=backend", "TAG=s11", "ORIGIN=hand"],
    Labels: { "dynamic-scaling-lab.stack": "dev", "dynamic-scaling-lab.hand": "s11" },
    StopTimeout: 10,
    HostConfig: {
      NetworkMode: "x-heig",
      RestartPolicy: { Name: "unless-stopped" },
      CapDrop: ["ALL"],
      CapAdd: ["CAP_KILL", "CAP_SETGID", "CAP_SETUID"],
      SecurityOpt: ["no-new-privileges"],
      Memory: 268435456,
      MemorySwap: 268435456,
      LogConfig: { Type: "json-file", Config: { "max-size": "10m", "max-file": "3" } },
    },
    NetworkingConfig: {
      EndpointsConfig: {
        "x-heig": { IPAMConfig: { IPv4Address: "10.20.30.252" }, Aliases: ["s11", "members"] },
      },
    },
  });
});

const up: ServerStatus = {
  name: "s11",
  address: "10.20.30.252",
  port: 3000,
  status: "UP",
  check: "L7OK",
  checking: false,
};

test.each<[string, ServerStatus[] | undefined, boolean]>([
  ["UP and checked", [{ ...up, checking: true }], true],
  ["failing its checks", [{ ...up, status: "UP 1/2" }], false],
  ["not checked yet", [{ ...up, check: "INI" }], false],
  ["DOWN", [{ ...up, status: "DOWN" }], false],
  ["in maintenance", [{ ...up, status: "MAINT" }], false],
  ["at another address", [{ ...up, address: "10.20.30.251" }], false],
  ["another node", [{ ...up, name: "s12" }], false],
  ["not there", [], false],
  ["HAProxy does not run", undefined, false],
])("serving? %s", (_, servers, expected) => {
  const addition = { name: "s11", containerName: "x-s11", address: "10.20.30.252" };
  expect(serves({ ...cluster, servers }, addition)).toBe(expected);
});

test("only a node added by hand is removed, any other is left with what to do", () => {
  expect(chooseRemoval("s10", lab)).toBe(lab.containers[5]);
  const refused = ["s2", "ha", "s77"].map((name) => {
    try {
      return chooseRemoval(name, lab);
    } catch (error) {
      return (error as Error).message;
    }
  });
  expect(refused).toEqual([
    "s2 was not added by hand but is declared; for fewer nodes run: " +
      "npx pulumi config set nodeCount 2 --stack dev && npx pulumi up --stack dev",
    "ha is a balancer",
    "there is no node s77 added by hand; there is: s9, s10",
  ]);
  expect(() => chooseRemoval("s9", { ...lab, containers: [] })).toThrow(
    "there is no node s9 added by hand; there is: none",
  );
});
