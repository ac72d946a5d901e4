import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { homedir, hostname, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type Docker from "dockerode";
import { describeMember } from "../../config/member";
import { ROLE_LABEL, STACK_LABEL } from "../../config/topology";
import { locateState } from "../../state/backend";
import { mendRecords } from "../../state/halfWritten";
import { isInterrupted } from "../../state/interruption";
import { explainLock, judgeLock } from "../../state/locks";
import { listHelpers } from "../../state/orphans";
import { listUnfinished, type PastUpdate } from "../../state/records";
import { chooseContainers, chooseNetworks, type StackRecords } from "../../state/unrecorded";

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

const records: StackRecords = {
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
  expect(listUnfinished(records.deployment)).toEqual(["creating s3", "updating s1"]);
  expect(listUnfinished({})).toEqual([]);
});

interface Found {
  id?: string;
  name?: string;
  created?: number;
  labels?: Record<string, string>;
  /** Ids of networks by name. */
  on?: Record<string, string>;
}

/** A container as the engine lists it. */
const found = ({
  id = "unrecorded",
  name = "my-s4",
  created = 1_000_000_000,
  labels = { [ROLE_LABEL]: "backend" },
  on = { bridge: "docker's" },
}: Found) => {
  const networks = Object.entries(on).map(([name, NetworkID]) => [name, { NetworkID }]);
  return {
    Id: id,
    Names: [`/${name}`],
    Created: created,
    Labels: { [STACK_LABEL]: "dev", ...labels },
    HostConfig: { NetworkMode: "bridge" },
    NetworkSettings: { Networks: Object.fromEntries(networks) as object },
  } as unknown as Docker.ContainerInfo;
};

const network = (Id: string, created = 0, Name = "my-heig") =>
  ({ Id, Name, Created: at(created) }) as Docker.NetworkInspectInfo;

const OURS = { "my-heig": "our-network" };
const THEIRS = { heig: "their-network" };

test.each<[string, Found, boolean]>([
  ["a recorded one", { id: "recorded", on: OURS }, false],
  ["an unrecorded one on the recorded network", { on: OURS }, true],
  ["the same before its first start", { on: { "my-heig": "" } }, true],
  ["one started by hand on that network", { on: OURS, labels: {} }, false],
  ["one of another checkout's lab", { on: THEIRS }, false],
  ["one of another's with a name being created", { name: "my-s3", on: THEIRS }, false],
  ["one to be on another's, its creation unfinished", { name: "my-s3", on: { heig: "" } }, true],
  ["on no network, its creation unfinished", { name: "my-s3" }, true],
  ["on no network, only an update of it unfinished", { name: "my-s1" }, false],
  ["on no network, made by the failed update", { created: 1_000_000_105 }, true],
  ["the same, started by hand", { created: 1_000_000_105, labels: {} }, false],
  ["the same in its first second", { created: 1_000_000_100 }, true],
  ["the same just after its end", { created: 1_000_000_112 }, true],
  ["before that update", { created: 1_000_000_099 }, false],
  ["long after that update", { created: 1_000_000_113 }, false],
  ["during an update that succeeded", { created: 1_000_000_055 }, false],
  ["during the failed one, another's prefix", { created: 1_000_000_105, name: "s4" }, false],
])("container to remove? %s", (_, of, expected) => {
  const all = [found(of)];
  const networks = [network("their-network", 0, "heig"), network("our-network")];
  expect(chooseContainers("dev", all, networks, records)).toEqual(expected ? all : []);
});

test("nodes added by hand are never chosen, whatever network they are on", () => {
  const label = { label: STACK_LABEL, value: "dev" };
  const member = describeMember({ name: "s4", role: "backend" }, label, "hand");
  const labels = Object.fromEntries(member.labels.map(({ label, value }) => [label, value]));
  const created = 1_000_000_105;
  const all = [OURS, { "my-heig": "" }, {}].map((on) => found({ labels, on, created }));
  expect(chooseContainers("dev", all, [network("our-network")], records)).toEqual([]);
});

test("nothing is chosen without any record of an own update", () => {
  const nothing = { project: "lab", history: [], deployment: {} };
  const all = [found({}), found({ on: OURS })];
  expect(chooseContainers("dev", all, [network("our-network")], nothing)).toEqual([]);
  expect(chooseNetworks([network("our-network")], [], nothing)).toEqual([]);
});

test.each<[string, Docker.NetworkInspectInfo, Docker.ContainerInfo[], boolean]>([
  ["unused, made by the failed update", network("n", 105), [found({ on: OURS })], true],
  ["the same, but used", network("n", 105), [found({ on: { "my-heig": "n" } })], false],
  ["the same, but to be used", network("n", 105), [found({ on: { "my-heig": "" } })], false],
  ["the recorded one", network("our-network", 105), [], false],
  ["another's, unused", network("n", 90), [], false],
])("network to remove? %s", (_, it, containers, expected) => {
  expect(chooseNetworks([it], containers, records)).toEqual(expected ? [it] : []);
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
    write(`stacks/${project}/dev.json`, { checkpoint: { latest: records.deployment } });

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
  const run = "/lab/bundles/run.cjs";
  const program = (folder: string) => [
    "node",
    run,
    "--monitor",
    "127.0.0.1:1",
    "--engine",
    "127.0.0.1:2",
    "--pwd",
    folder,
    "program.cjs",
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
    { pid: 0, pulumiEngine: "127.0.0.1:3" },
    { pid: 1, pulumiEngine: "127.0.0.1:2" },
  ]);
});
