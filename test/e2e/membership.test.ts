import { execFileSync } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { withoutFrames } from "../../docker/exec";
import { poll } from "../../time/poll";
import { configuratorLog, tellBalancers } from "../support/balancer";
import { LabCheckout } from "../support/checkout";
import { addByHand, expectAgreement } from "../support/cluster";
import { underLoad } from "../support/load";
import { LONG } from "../support/long";
import {
  countAnswers,
  identity,
  inContainer,
  previewed,
  configOnDisk,
  names,
} from "../support/observe";

jest.setTimeout(300_000);

let lab: LabCheckout;
beforeAll(async () => {
  lab = await LabCheckout.create("e2e-member");
  await lab.up();
});
afterAll(() => lab.remove());

const START_BY_ITSELF_MS = 30_000;

/** Waits for a condition that does not take long; what it throws means not yet. */
async function until(condition: () => Promise<boolean>, what: string): Promise<void> {
  const options = { everyMs: 100, withinMs: START_BY_ITSELF_MS };
  const isSo = await poll(() => condition().catch(() => false), Boolean, options);
  if (!isSo) throw new Error(`not so within 30 s: ${what}`);
}

const agentAnswers = (name: string) =>
  until(async () => (await inContainer(lab, name, "serf", "members")) !== "", `${name}'s agent`);

const kill = (name: string) => lab.container(name).kill();
const start = (name: string) => lab.container(name).start();
const restart = (name: string) => lab.container(name).restart({ t: 10 });

const applies = async () =>
  (await configuratorLog(lab)).filter((line) => line.startsWith("applied"));

/** All nodes agree, are the declared ones, and the file is the one of the preview. */
async function expectDeclared(nodeCount: number): Promise<void> {
  expect(await expectAgreement(lab)).toEqual(names(nodeCount));
  expect(await configOnDisk(lab)).toBe(previewed(lab, nodeCount));
}

describe("any start order ends in the same membership", () => {
  const orders = [
    ["ha", "s1", "s2"],
    ["ha", "s2", "s1"],
    ["s1", "ha", "s2"],
    ["s1", "s2", "ha"],
    ["s2", "ha", "s1"],
    ["s2", "s1", "ha"],
  ];
  test.each(LONG ? orders : orders.slice(-1))("%s, %s, %s", async (...order) => {
    await Promise.all(order.map(kill));
    for (const name of order) {
      await start(name);
      await agentAnswers(name);
    }
    await expectDeclared(2);
  });

  (LONG ? test : test.skip)("the balancer last, after five nodes", async () => {
    await lab.scale(5);
    await lab.container("ha").stop({ t: 10 });
    await Promise.all(names(5).map(restart));
    await Promise.all(names(5).map(agentAnswers));
    await start("ha");
    await expectDeclared(5);
    await lab.scale(2);
  });
});

describe("any restart ends in the same membership, nodes added by hand included", () => {
  beforeAll(() => addByHand(lab, "s9"));
  afterAll(() => lab.container("s9").remove({ force: true }));

  const expectAll = async () => expect(await expectAgreement(lab)).toEqual(["s1", "s2", "s9"]);

  test("docker restart ha", async () => {
    await restart("ha");
    await expectAll();
  });

  (LONG ? test : test.skip)("docker kill ha, docker start ha", async () => {
    await kill("ha");
    await start("ha");
    await expectAll();
  });

  test("process 1 of ha killed on the host: Docker starts it again", async () => {
    const before = await lab.container("ha").inspect();
    process.kill(before.State.Pid, "SIGKILL");
    await until(async () => {
      const { State } = await lab.container("ha").inspect();
      return State.Running && State.Pid !== before.State.Pid;
    }, "ha runs again");
    await expectAll();
  });

  (LONG ? test : test.skip)("docker rm -f ha, up --refresh", async () => {
    await lab.container("ha").remove({ force: true });
    await lab.succeed("up", "--refresh", "--yes", "--skip-preview", "--stack", lab.stack);
    await expectAll();
  });

  // Again and again: whose leave is heard after whose join is chance.
  test.each(LONG ? [1, 2, 3, 4] : [1])("all at once, round %i", async () => {
    await Promise.all(["ha", "s1", "s2", "s9"].map(restart));
    await expectAll();
  });
});

test("the lab's walk: add s3 and s4, stop them, add s5; all agree after each step", async () => {
  const expectNodes = async (nodes: string[]) => {
    expect(await expectAgreement(lab)).toEqual(nodes);
    expect(Object.keys(await countAnswers(lab, 5 * nodes.length)).sort()).toEqual(nodes);
  };
  const [first, second, third] = ["s3", "s4", "s5"];
  try {
    await expectNodes(["s1", "s2"]);
    await addByHand(lab, first);
    await addByHand(lab, second);
    await expectNodes(["s1", "s2", "s3", "s4"]);
    await Promise.all([first, second].map((name) => lab.container(name).stop({ t: 10 })));
    await expectNodes(["s1", "s2"]);
    await addByHand(lab, third);
    await expectNodes(["s1", "s2", "s5"]);
  } finally {
    for (const name of [first, second, third]) {
      await lab
        .container(name)
        .remove({ force: true })
        .catch(() => undefined);
    }
  }
});

describe("a false alarm costs nothing", () => {
  const signal = (name: string, option: string) =>
    inContainer(lab, name, "s6-svc", option, "/etc/s6/serf");

  /** How ha's agent sees the others. */
  async function statuses(): Promise<string[]> {
    const json = await inContainer(lab, "ha", "serf", "members", "-format=json");
    const { members } = JSON.parse(json) as { members: { name: string; status: string }[] };
    // Nodes of earlier tests are remembered for a day.
    return members
      .filter(({ name }) => healed.some((line) => line.startsWith(`${name} `)))
      .map(({ name, status }) => `${name} ${status}`)
      .sort();
  }

  const becomes = (wanted: string[]) =>
    until(async () => (await statuses()).join() === wanted.join(), wanted.join());
  const healed = ["ha alive", "s1 alive", "s2 alive"];

  /** Drops a container's gossip with one other address, or with all, on the host's side of it. */
  async function withoutGossip(name: string, address: string, work: () => Promise<void>) {
    const { State } = await lab.container(name).inspect();
    const inNetwork = ["--target", String(State.Pid), "--net", "iptables"];
    const rules = ["udp", "tcp"].flatMap((protocol) => [
      ["INPUT", "-s", address, "-p", protocol, "--dport", "7946", "-j", "DROP"],
      ["OUTPUT", "-d", address, "-p", protocol, "--dport", "7946", "-j", "DROP"],
    ]);
    for (const rule of rules) execFileSync("nsenter", [...inNetwork, "-A", ...rule]);
    try {
      await work();
    } finally {
      for (const rule of rules) execFileSync("nsenter", [...inNetwork, "-D", ...rule]);
    }
  }

  const alarms: [what: string, alarm: () => Promise<void>][] = [
    ["serf killed in one node", async () => void (await signal("s1", "-k"))],
    ["serf killed in ha", async () => void (await signal("ha", "-k"))],
    [
      "serf killed in all",
      async () => void (await Promise.all(["ha", "s1", "s2"].map((name) => signal(name, "-k")))),
    ],
    [
      "serf of one node silent",
      async () => {
        await signal("s1", "-p");
        await becomes(["ha alive", "s1 failed", "s2 alive"]);
        await signal("s1", "-c");
      },
    ],
    [
      "gossip cut between ha and a node",
      () => withoutGossip("ha", addressOf("s1"), () => delay(8000)),
    ],
    [
      "all gossip lost",
      () => withoutGossip("ha", "0.0.0.0/0", () => becomes(["ha alive", "s1 failed", "s2 failed"])),
    ],
  ];

  // The last one is the strongest.
  test.each(LONG ? alarms : alarms.slice(-1))("%s", async (what, alarm) => {
    await expectDeclared(2);
    const before = await applies();
    const { sent, lost } = await underLoad(lab, async () => {
      await alarm();
      await becomes(healed);
    });
    console.log(`${what}: ${sent} requests sent, ${lost.length} lost`);
    expect(lost).toEqual([]);
    expect(await applies()).toEqual(before);
    await expectDeclared(2);
  });
});

const addressOf = (name: string) =>
  `${String(lab.config.subnet).replace("0/24", "")}${name === "ha" ? 42 : 10 + Number(name.slice(1))}`;

describe("a leave counts for the boot that it names", () => {
  const bootOf = async (name: string) =>
    (await inContainer(lab, name, "s6-setuidgid", "_serf", "cat", "/run/serf/boot")).trim();

  test("the old boot's leave after the new boot's announcement changes nothing", async () => {
    await expectDeclared(2);
    const old = await bootOf("s1");
    await restart("s1");
    await expectDeclared(2);
    expect(await bootOf("s1")).not.toBe(old);
    const before = await applies();
    const line = `s1\t${addressOf("s1")}\tbackend\trole=backend,origin=pulumi,boot=${old}`;
    expect(await tellBalancers(lab, "leave", line)).toEqual({ ha: "done" });
    await expectDeclared(2);
    expect(await applies()).toEqual(before);
  });

  test("a node restarted within the time that Serf collects events stays in rotation", async () => {
    await restart("s1");
    const announced = await bootOf("s1");
    const heard = (event: string) =>
      until(
        async () =>
          new RegExp(`^\\S+ ${event} name="s1" .* boot="${announced}"$`, "m").test(
            await inContainer(lab, "ha", "cat", "/var/log/serf.log"),
          ),
        `${event} of s1`,
      );
    await heard("announce");
    await heard("member-join");
    // What is heard is logged before it is acted on.
    await expectDeclared(2);
    const since = (await applies()).filter((line) => / [+-]s1$/.test(line));
    // Out when it left, in when it came back, and nothing of the events that came later.
    expect(since.slice(-2).map((line) => line.slice(-3))).toEqual(["-s1", "+s1"]);
  });
});

test("docker stop leaves first: out of rotation, out of gossip, then the end; nothing is lost", async () => {
  await expectDeclared(2);
  const { sent, lost } = await underLoad(lab, async () => {
    await lab.container("s2").stop({ t: 10 });
    expect(await expectAgreement(lab)).toEqual(["s1"]);
    await start("s2");
    await expectDeclared(2);
  });
  console.log(`docker stop and start: ${sent} requests sent, ${lost.length} lost`);
  expect(lost).toEqual([]);
  const log = await inContainer(lab, "ha", "cat", "/var/log/serf.log");
  expect(log).toMatch(/^\S+Z leave name="s2" address="[\d.]+" role="backend" boot="\w{8}"$/m);
  expect(log).toMatch(
    /^\S+Z member-leave name="s2" address="[\d.]+" role="backend" boot="\w{8}"$/m,
  );
  expect(log).not.toMatch(/member-failed name="s2" .*\n.*member-leave name="s2"/);
});

test("every container ends before docker stop would kill it", async () => {
  const all = ["s1", "s2", "ha"];
  const codes = all.map(async (name) => {
    await lab.container(name).stop({ t: 10 });
    return (await lab.container(name).inspect()).State.ExitCode;
  });
  expect(await Promise.all(codes)).toEqual([0, 0, 0]);
  await Promise.all(all.map(start));
  await expectDeclared(2);
});

test("a node that a person stopped stays down, one that died comes back", async () => {
  const { Id } = await identity(lab, "s2");
  const { State } = await lab.container("s2").inspect();
  process.kill(State.Pid, "SIGKILL");
  await until(async () => {
    const now = await lab.container("s2").inspect();
    return now.State.Running && now.State.Pid !== State.Pid;
  }, "s2 runs again");
  await expectDeclared(2);
  expect((await identity(lab, "s2")).Id).toBe(Id);
  expect(Object.keys(await countAnswers(lab, 8)).sort()).toEqual(["s1", "s2"]);
});

test("the gossip key shows nowhere", async () => {
  const key = (await inContainer(lab, "ha", "cat", "/etc/serf/key")).trim();
  expect(Buffer.from(key, "base64")).toHaveLength(32);
  const processes = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'";
  const places = {
    inspect: JSON.stringify(await Promise.all(["ha", "s1"].map((n) => lab.container(n).inspect()))),
    processes: await inContainer(lab, "ha", "sh", "-c", `${processes}; exit 0`),
    logs: withoutFrames(await lab.container("ha").logs({ stdout: true, stderr: true })),
    diff: await lab.succeed("preview", "--diff", "--refresh", "--stack", lab.stack),
    state: await lab.succeed("stack", "export", "--stack", lab.stack),
    host: execFileSync("sh", ["-c", "cat /proc/[0-9]*/cmdline 2>/dev/null; exit 0"]).toString(),
  };
  for (const [place, text] of Object.entries(places)) {
    expect({ place, shows: text.includes(key), isEmpty: text === "" }).toEqual({
      place,
      shows: false,
      isEmpty: false,
    });
  }
  const mode = await inContainer(lab, "s1", "stat", "-c", "%U %a", "/etc/serf/key");
  expect(mode).toBe("root 600\n");
});
