import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { homedir, hostname, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type Docker from "dockerode";
import { describeMember } from "../../config/member";
import { STACK_LABEL } from "../../config/topology";
import { locateState } from "../../state/backend";
import { mendRecords } from "../../state/halfWritten";
import { isInterrupted } from "../../state/interruption";
import { explainLock, judgeLock } from "../../state/locks";
import { listHelpers } from "../../state/orphans";
import { listUnfinished, type PastUpdate } from "../../state/records";
import {
  chooseContainers,
  chooseNetworks,
  describeContainer,
  type Evidence,
  type LabelledContainer,
} from "../../state/unrecorded";

const lock = { pid: 7, hostname: "here" };

test.each([
  ["the CLI at work", "here", "pulumi\n", "live"],
  ["another repair at work", "here", "node\n", "live"],
  ["a process that is gone", "here", undefined, "dead"],
  ["a number that another program has now", "here", "sshd\n", "dead"],
  ["another host's", "there", undefined, "elsewhere"],
  ["another host's, its number in use here", "there", "pulumi\n", "elsewhere"],
])("lock: %s", (_, host, processName, expected) => {
  expect(judgeLock(lock, host, processName)).toBe(expected);
});

test("a lock that stays says whose it is and what to do", () => {
  expect(explainLock(lock, "live", "dev")).toContain("process 7 is at work on stack dev");
  expect(explainLock(lock, "elsewhere", "dev")).toMatch(
    /process 7 on host here .*npx pulumi cancel --stack dev/,
  );
});

test.each([
  ["file://./.state", "/checkout/.state"],
  ["file:///var/state", "/var/state"],
  ["file:///var/state?no_tmp_dir=true", "/var/state"],
  ["file://~", homedir()],
  ["file://~/labs", join(homedir(), "labs")],
  ["s3://bucket", undefined],
  ["https://api.pulumi.com", undefined],
])("state of %s", (url, expected) => {
  expect(locateState(url, "/checkout")).toBe(expected);
});

const urn = (name: string) =>
  `urn:pulumi:dev::lab::lab:index:WebApp$docker:index/container:Container::${name}`;
const container = (name: string, id?: string) => ({
  urn: urn(name),
  type: "docker:index/container:Container",
  id,
  inputs: { name: `my-${name}` },
});
const at = (second: number) => new Date(1_000_000_000_000 + 1000 * second).toISOString();
const update = (result: string, start: number, end?: number, prefix = "my-"): PastUpdate => ({
  kind: "update",
  result,
  startTime: at(start),
  endTime: end === undefined ? undefined : at(end),
  config: { "lab:namePrefix": { value: prefix } },
});

const evidence: Evidence = {
  project: "lab",
  history: [update("failed", 100, 110), update("succeeded", 50, 60)],
  deployment: {
    resources: [
      { urn: urn("heig"), type: "docker:index/network:Network", id: "our-network" },
      container("s1", "recorded"),
    ],
    pending_operations: [
      { type: "creating", resource: container("s3") },
      { type: "updating", resource: container("s1", "recorded") },
    ],
  },
};

test("unfinished operations are named", () => {
  expect(listUnfinished(evidence.deployment)).toEqual(["creating s3", "updating s1"]);
  expect(listUnfinished({})).toEqual([]);
});

const found = (of: Partial<LabelledContainer>): LabelledContainer => ({
  id: "unrecorded",
  name: "my-s4",
  created: 1_000_000_000,
  role: "backend",
  networks: [],
  ...of,
});

test.each<[string, Partial<LabelledContainer>, boolean]>([
  ["a recorded one", { id: "recorded", networks: ["our-network"] }, false],
  ["an unrecorded one on the recorded network", { networks: ["our-network"] }, true],
  ["one started by hand on that network", { networks: ["our-network"], role: undefined }, false],
  ["one of another checkout's lab", { networks: ["their-network"] }, false],
  ["one of another's with a name being created", { name: "my-s3", networks: ["theirs"] }, false],
  ["on no network, its creation unfinished", { name: "my-s3" }, true],
  ["on no network, only an update of it unfinished", { name: "my-s1" }, false],
  ["on no network, made by the failed update", { created: 1_000_000_105 }, true],
  ["the same in its first second", { created: 1_000_000_100 }, true],
  ["the same just after its end", { created: 1_000_000_112 }, true],
  ["before that update", { created: 1_000_000_099 }, false],
  ["long after that update", { created: 1_000_000_113 }, false],
  ["during an update that succeeded", { created: 1_000_000_055 }, false],
  ["during the failed one, another's prefix", { created: 1_000_000_105, name: "s4" }, false],
])("container to remove? %s", (_, of, expected) => {
  expect(chooseContainers([found(of)], evidence)).toHaveLength(expected ? 1 : 0);
});

test("nodes added by hand are never chosen, whatever network they are on", () => {
  const label = { label: STACK_LABEL, value: "dev" };
  const labels = describeMember({ name: "s4", role: "backend" }, label, "hand").labels;
  const info = (Networks: object) =>
    ({
      Id: "unrecorded",
      Names: ["/my-s4"],
      Created: 1_000_000_105,
      Labels: Object.fromEntries(labels.map(({ label, value }) => [label, value])),
      NetworkSettings: { Networks },
    }) as Docker.ContainerInfo;
  const on = describeContainer(info({ bridge: {}, "my-heig": { NetworkID: "our-network" } }));
  const notYet = describeContainer(info({ "my-heig": { NetworkID: "" } }));
  const described = { id: "unrecorded", name: "my-s4", created: 1_000_000_105, role: undefined };
  expect([on, notYet]).toEqual([
    { ...described, networks: ["our-network"] },
    { ...described, networks: [] },
  ]);
  expect(chooseContainers([on, notYet], evidence)).toEqual([]);
  // The same labels and places, but with a role: the program's.
  const made = [on, notYet].map((it) => ({ ...it, role: "backend" }));
  expect(chooseContainers(made, evidence)).toEqual(made);
});

test("nothing is chosen without any record of an own update", () => {
  const nothing = { project: "lab", history: [], deployment: {} };
  expect(chooseContainers([found({}), found({ networks: ["theirs"] })], nothing)).toEqual([]);
  expect(chooseNetworks([{ id: "n", name: "my-heig", created: 1, used: false }], nothing)).toEqual(
    [],
  );
});

test.each([
  ["unused, made by the failed update", { id: "n", created: 1_000_000_105, used: false }, true],
  ["the same, but used", { id: "n", created: 1_000_000_105, used: true }, false],
  ["the recorded one", { id: "our-network", created: 1_000_000_105, used: false }, false],
  ["another's, unused", { id: "n", created: 1_000_000_090, used: false }, false],
])("network to remove? %s", (_, of, expected) => {
  expect(chooseNetworks([{ name: "my-heig", ...of }], evidence)).toHaveLength(expected ? 1 : 0);
});

describe("whether an update was cut off, from the backend's files", () => {
  const before = process.env.PULUMI_BACKEND_URL;
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "repair-test-"));
    process.env.PULUMI_BACKEND_URL = `file://${folder}`;
  });
  afterEach(() => {
    if (before === undefined) delete process.env.PULUMI_BACKEND_URL;
    else process.env.PULUMI_BACKEND_URL = before;
    rmSync(folder, { recursive: true });
  });

  const gone = () => spawnSync("true").pid;
  const write = (path: string, content: object) => {
    const file = join(folder, ".pulumi", path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, JSON.stringify(content));
  };
  const project = "dynamic-scaling-lab";
  const hold = (pid: number, stack = "dev", host = hostname()) =>
    write(`locks/organization/${project}/${stack}/1.json`, { pid, hostname: host });
  const unfinished = () =>
    write(`stacks/${project}/dev.json`, { checkpoint: { latest: evidence.deployment } });

  test.each<[string, () => void, boolean]>([
    ["nothing there", () => undefined, false],
    [
      "a stack before its first update",
      () => write(`stacks/${project}/dev.json`, { checkpoint: {} }),
      false,
    ],
    ["a dead lock", () => hold(gone()), true],
    ["a dead lock of another stack", () => hold(gone(), "other"), false],
    ["a live lock", () => hold(process.pid), false],
    ["another host's lock", () => hold(gone(), "dev", "elsewhere.example"), false],
    ["unfinished operations", unfinished, true],
    ["an update that still runs", () => (unfinished(), hold(process.pid)), false],
    [
      "a last update that failed",
      () => {
        write(`history/${project}/dev/dev-1.history.json`, { result: "succeeded" });
        write(`history/${project}/dev/dev-2.history.json`, { result: "failed" });
      },
      true,
    ],
    [
      "an earlier one that failed",
      () => {
        write(`history/${project}/dev/dev-1.history.json`, { result: "failed" });
        write(`history/${project}/dev/dev-2.history.json`, { result: "succeeded" });
      },
      false,
    ],
  ])("%s", (_, prepare, expected) => {
    prepare();
    expect(isInterrupted("dev")).toBe(expected);
  });

  test("half-written records are removed, and only they", () => {
    const log = jest.spyOn(console, "log").mockImplementation();
    const old = new Date(Date.now() - 5000);
    const place = (name: string, text: string, time = old) => {
      const file = join(folder, ".pulumi", name);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text);
      utimesSync(file, time, time);
      return file;
    };
    const half = [place("stacks/lab/dev.json.attrs", ""), place("locks/dev/1.json.18f.tmp", "{}")];
    const whole = [
      place("stacks/lab/dev.json", "{}"),
      place("stacks/lab/other.json.attrs", "{}"),
      place("stacks/lab/new.json.attrs", "", new Date()),
      place("locks/dev/2.json.190.tmp", "", new Date()),
    ];
    expect([mendRecords(folder), mendRecords(folder)]).toEqual([true, false]);
    expect(half.filter((file) => existsSync(file))).toEqual([]);
    expect(whole.filter((file) => existsSync(file))).toEqual(whole);
    expect(log).toHaveBeenCalledTimes(2);
    log.mockRestore();
  });

  test("another backend can't be told of", () => {
    hold(gone());
    process.env.PULUMI_BACKEND_URL = "s3://bucket";
    expect(isInterrupted("dev")).toBe(false);
  });
});

test("an update's host and program are told by checkout and engine", () => {
  const host = "/lab/cli/pulumi/toolchain/pulumi-language-nodejs";
  const run = "/lab/node_modules/@pulumi/pulumi/cmd/run/index.js";
  const program = (folder: string) => [
    "node",
    run,
    "--monitor",
    "127.0.0.1:1",
    "--engine",
    "127.0.0.1:2",
    "--pwd",
    folder,
    "index.ts",
  ];
  const commands = [
    [host, "127.0.0.1:3"],
    program("/lab"),
    program("/other"),
    ["/other/cli/pulumi/toolchain/pulumi-language-nodejs", "127.0.0.1:4"],
    ["vim", "--pwd", "/lab", "--engine", "127.0.0.1:5"],
    [host],
  ];
  const processes = commands.map((command, pid) => ({ pid, parent: 1, command }));
  expect(listHelpers(processes, "/lab")).toEqual([
    { pid: 0, engine: "127.0.0.1:3" },
    { pid: 1, engine: "127.0.0.1:2" },
  ]);
});
