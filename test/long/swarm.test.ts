/** The lab on a Swarm of three machines: scaling, faults under load at every engine's port, bad input. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runInContainer } from "../../docker/exec";
import { connectMachine, type Machine } from "../../machines/machines";
import { engine as outer } from "../support/checkout";
import { describeLoad, type LoadResult } from "../support/load";
import { findTask } from "../support/machines";
import { eventually, names } from "../support/observe";
import { SWARM_FAULTS, SwarmLab, trySwarmFault } from "../support/swarmLab";

jest.setTimeout(600_000);

let swarm: SwarmLab;
beforeAll(async () => {
  swarm = await SwarmLab.create("e2e-swarm");
});
afterAll(() => swarm?.remove());

const preview = (...args: string[]) =>
  swarm.lab.succeed("preview", ...args, "--stack", swarm.lab.stack);
const up = (...args: string[]) =>
  swarm.lab.pulumi("up", "--yes", "--skip-preview", ...args, "--stack", swarm.lab.stack);

/** Another image that does the same. */
const relabel = (dockerfile: string) => `${dockerfile}LABEL relabelled=1\n`;
const neverStarts = (dockerfile: string) => `${dockerfile}ENTRYPOINT ["false"]\n`;

async function withoutLoss(work: () => Promise<unknown>): Promise<void> {
  const results = await reportLoad(work);
  expect(results.map(({ lost }) => lost)).toEqual([[], [], []]);
}

/** Load at every machine's port while something is done, told by machine. */
async function reportLoad(work: () => Promise<unknown>): Promise<LoadResult[]> {
  const results = await swarm.load(work);
  report(results.map((result, i) => [swarm.machines[i].name, result]));
  return results;
}

function report(results: [machine: string, result: LoadResult][]): void {
  console.log(results.map(([name, result]) => `${name}: ${describeLoad(result)}`).join("\n"));
}

/** From the first request that a machine's port lost to the last, ms since the load began. */
function whenClosed({ exchanges }: LoadResult): { from: number; until: number } {
  const lost = exchanges.filter((one) => one.lost !== undefined).map(({ at }) => Math.round(at));
  return { from: Math.min(...lost), until: Math.max(...lost) };
}

test("every engine answers from every node, on the previewed text, and nothing drifts", async () => {
  await swarm.agrees();
  await preview("--expect-no-changes");
  await swarm.lab.succeed("refresh", "--yes", "--expect-no-changes", "--stack", swarm.lab.stack);
  await preview("--expect-no-changes");
  for (const { url } of swarm.machines) {
    const answers = await Promise.all(
      Array.from({ length: 8 }, async () => (await (await fetch(url)).json()) as { tag: string }),
    );
    expect([...new Set(answers.map(({ tag }) => tag))].sort()).toEqual(names(2));
  }
});

test("statistics ask for the password on every engine, and the admin CLI is not published", async () => {
  for (const { statsUrl } of swarm.machines) {
    expect((await fetch(statsUrl)).status).toBe(401);
    const authorization = `Basic ${Buffer.from("admin:only for the test").toString("base64")}`;
    expect((await fetch(statsUrl, { headers: { authorization } })).status).toBe(200);
  }
  const { Endpoint } = (await swarm.manager.getService(swarm.service("ha")).inspect()) as {
    Endpoint: { Ports: { TargetPort: number }[] };
  };
  expect(Endpoint.Ports.map(({ TargetPort }) => TargetPort)).toEqual([80, 1936]);
});

test("no secret is in a service, a container or a config", async () => {
  const { manager, machines, lab } = swarm;
  const objects: unknown[] = await Promise.all([
    manager.listServices(),
    manager.listSecrets(),
    manager.listConfigs(),
    ...machines.map(async (machine) => {
      const engine = connectMachine(machine);
      const all = await engine.listContainers({ all: true });
      return Promise.all(all.map(({ Id }) => engine.getContainer(Id).inspect()));
    }),
  ]);
  const balancer = (await findTask(machines[0], swarm.service("ha")))!;
  const key = (await runInContainer(balancer, ["cat", "/etc/serf/key"], { user: "root" })).stdout;
  expect(key).toMatch(/^[\w+/]{43}=$/);
  const configs = (await manager.listConfigs()) as { Spec: { Data: string } }[];
  const decoded = configs.map(({ Spec }) => Buffer.from(Spec.Data, "base64").toString());
  const text = JSON.stringify(objects) + decoded.join();
  for (const secret of [key, "only for the test", String(lab.config.registryPassword), "$2b$"]) {
    expect(text.includes(secret)).toBe(false);
  }
  for (const user of ["haproxy", "_serf", "nobody"]) {
    const look = await runInContainer(balancer, ["cat", "/etc/serf/key"], { user });
    expect(look).toMatchObject({ exitCode: 1, stdout: "" });
  }
});

test("2 → 3 → 10 → 2: one service and one server line each, nothing lost, nobody else touched", async () => {
  const started = Date.now();
  const before = await swarm.readTasks();
  await swarm.lab.configure("nodeCount", 3);
  const shown = await preview("--diff");
  expect(shown.match(/^ *\+ +server s3 s3:3000 .*$/gm)).toHaveLength(1);
  expect(shown.match(/^ *\+ docker:index\/service:Service: \(create\)$/gm)).toHaveLength(1);
  expect(shown).toMatch(/\+ 1 to create\n\s+~ 1 to update\n\s+2 changes\./);
  for (const nodeCount of [3, 10]) {
    await withoutLoss(() => swarm.scale(nodeCount));
    await swarm.agrees();
  }
  const tasks = await swarm.readTasks();
  expect(tasks).toMatchObject(before);
  const spread = swarm.machines.map(
    ({ name }) => Object.values(tasks).filter((task) => task.startsWith(`${name} `)).length,
  );
  expect(spread.sort()).toEqual([3, 3, 4]);
  await withoutLoss(() => swarm.scale(2));
  await swarm.agrees();
  expect(await swarm.readTasks()).toEqual(before);
  expect(new Set(await swarm.readApplies(started))).toEqual(new Set(["Runtime API"]));
});

test.each(SWARM_FAULTS)("$name: nothing is lost at the other engines' ports", async (fault) => {
  await swarm.startWith(4);
  const before = await swarm.readTasks();
  const started = Date.now();
  const { results, tookMs } = await trySwarmFault(swarm, fault);
  report(results);
  console.log(`${fault.name}: ${tookMs} ms`);
  expect(results.map(([, { lost }]) => lost)).toEqual(results.map(() => []));
  const after = await swarm.readTasks();
  if (fault.name === "a node killed") {
    const { s1, ...others } = after;
    expect({ s1: before.s1, ...others }).toEqual(before);
    expect(s1).not.toBe(before.s1);
    expect(new Set(await swarm.readApplies(started))).toEqual(new Set(["Runtime API"]));
  }
  if (fault.name === "the web image rolled") {
    for (const name of names(4)) expect(after[name]).not.toBe(before[name]);
  }
});

test("a node added by hand joins every balancer, and leaves them", async () => {
  await swarm.startWith(4);
  await withoutLoss(async () => {
    const added = await swarm.command("node", "add", "s9");
    expect(added).toMatchObject({ code: 0, output: expect.stringContaining("s9 is in") as string });
    await eventually(30_000, async () => {
      const { code, output } = await swarm.command("status");
      expect({ code, output }).toMatchObject({ code: 0 });
      expect(output).toMatch(/^s9 .* by hand +alive +yes +yes +UP +L7OK +running /m);
    });
    const taken = await swarm.command("node", "add", "s3");
    expect(taken.output).toContain("s3 is declared already");
    expect(await swarm.command("node", "remove", "s9")).toMatchObject({ code: 0 });
  });
  await swarm.agrees();
});

test("the processes of a node are told on its own engine, which is named on another", async () => {
  await swarm.startWith(4);
  const places = Object.entries(await swarm.readTasks());
  for (const [name, place] of places) {
    const engine = place.split(" ")[0];
    const { code, output } = await swarm.command("service", "list", name);
    const isHere = engine === swarm.machines[0].name;
    const said = isHere ? /^app +up +\d+ /m : new RegExp(`${name} runs on engine ${engine}, where`);
    expect({ code, output }).toEqual({
      code: isHere ? 0 : 1,
      output: expect.stringMatching(said) as string,
    });
  }
  expect(new Set(places.map(([, place]) => place.split(" ")[0])).size).toBeGreaterThan(1);
});

test("refresh shows a service scaled or removed by hand, and up --refresh repairs it", async () => {
  await swarm.startWith(4);
  const s3 = swarm.manager.getService(swarm.service("s3"));
  const { Version, Spec } = (await s3.inspect()) as { Version: { Index: number }; Spec: object };
  await s3.update({
    _query: { version: Version.Index },
    _body: { ...Spec, Mode: { Replicated: { Replicas: 0 } } },
  });
  await swarm.manager.getService(swarm.service("s4")).remove();
  await eventually(30_000, async () =>
    expect((await swarm.command("status")).output).not.toMatch(/^s4 .* UP /m),
  );
  const shown = await swarm.lab.succeed("refresh", "--yes", "--diff", "--stack", swarm.lab.stack);
  expect(shown).toMatch(/~ replicas: 1 => 0/);
  expect(shown).toMatch(/- docker:index\/service:Service: \(delete\)/);
  expect(shown).toMatch(/^ *- +server s4 /m);
  await withoutLoss(async () => {
    const { code, output } = await up("--refresh");
    expect({ code, output }).toMatchObject({ code: 0 });
  });
  await swarm.agrees();
});

test("a changed template: one engine's port after the other is closed, never two at once", async () => {
  await swarm.startWith(4);
  const change = (text: string) => text.replace("timeout client 30s", "timeout client 31s");
  await swarm.lab.withEdit("haproxy/haproxy.cfg.hbs", change, async () => {
    expect(await preview("--diff")).toMatch(/^ *\+ +timeout client 31s$/m);
    const results = await reportLoad(() => swarm.lab.up());
    const closed = results.map(whenClosed).toSorted((a, b) => a.from - b.from);
    console.log(`closed, ms since the load began: ${JSON.stringify(closed)}`);
    for (const [i, { until }] of closed.slice(0, -1).entries()) {
      expect(until).toBeLessThan(closed[i + 1].from);
    }
  });
  await swarm.lab.up();
  await swarm.agrees();
});

test("all balancers restarted at once: each serves from the same nodes again", async () => {
  await swarm.startWith(4);
  const before = await swarm.readTasks();
  const balancers = swarm.machines.map((machine) => findTask(machine, swarm.service("ha")));
  await Promise.all((await Promise.all(balancers)).map((balancer) => balancer!.kill()));
  await swarm.agrees();
  expect(await swarm.readTasks()).toEqual(before);
});

test("without a quorum an update says so in time, and changes nothing", async () => {
  await swarm.startWith(4);
  await swarm.setMachine("machine2", { Role: "manager" });
  await eventually(30_000, async () =>
    expect(await connectMachine(swarm.machines[1]).listNodes()).toHaveLength(3),
  );
  await swarm.runMachines("kill", "2");
  try {
    // Until its lease ends the one that is left takes itself for the leader.
    await eventually(60_000, () =>
      expect(swarm.manager.listServices()).rejects.toThrow("The swarm does not have a leader"),
    );
    const started = Date.now();
    const { code, output } = await up();
    console.log(`without a quorum: said after ${Date.now() - started} ms`);
    expect(output).toMatch(
      /nothing was changed, because\n +the Swarm of the Docker engine at .*: .* does not have a leader/,
    );
    expect(code).not.toBe(0);
  } finally {
    await swarm.runMachines("start", "2");
    await eventually(60_000, () => swarm.setMachine("machine2", { Role: "worker" }));
  }
  await swarm.agrees();
});

test("the leader of three managers killed: another leads, and updates go on through it", async () => {
  await swarm.startWith(4);
  const [first, ...others] = swarm.machines;
  const setRoles = async (Role: "manager" | "worker") => {
    for (const { name } of others) {
      await eventually(30_000, () => swarm.setMachine(name, { Role }));
    }
  };
  await setRoles("manager");
  await eventually(60_000, async () =>
    expect((await swarm.listNodes()).map((it) => it.ManagerStatus?.Reachability)).toEqual(
      swarm.machines.map(() => "reachable"),
    ),
  );
  try {
    const work = async () => {
      await swarm.runMachines("kill", "1");
      swarm.ask(others[0]);
      await eventually(60_000, () => swarm.listNodes());
      await swarm.leaves(first);
      await swarm.agrees(others);
      await swarm.scale(6);
      await swarm.agrees(others);
    };
    const results = await swarm.load(work, others);
    report(results.map((result, i) => [others[i].name, result]));
    expect(results.map(({ lost }) => lost)).toEqual([[], []]);
  } finally {
    await swarm.runMachines("start", "1");
    swarm.ask(first);
    await setRoles("worker");
  }
  await swarm.agrees();
  await swarm.startWith(4);
});

test("a report of a running lab says what this engine shows, and where the rest is", async () => {
  await swarm.startWith(4);
  const out = mkdtempSync(join(tmpdir(), "e2e-report-"));
  try {
    const made = await swarm.command("report", "--here", "--out", out);
    expect(made).toMatchObject({ code: 0 });
    const text = readFileSync(join(out, "report/report.md"), "utf8");
    expect(text).toContain("All agree.");
    const here = Object.entries(await swarm.readTasks())
      .filter(([, place]) => place.startsWith(`${swarm.machines[0].name} `))
      .map(([name]) => name);
    const logs = [...here, `ha-${swarm.machines[0].name}`].flatMap((name) => [
      ...[`${name}.log`, `inspect-${name}.json`],
    ]);
    const fixed = ["docker-ps.txt", "haproxy.cfg", "nodes.txt", "serf.log", "stats.png"];
    expect(readdirSync(join(out, "logs/here")).sort()).toEqual([...fixed, ...logs].sort());
    expect(text).toMatch(/on engine machine1 while it ran\. .* are on their own engines\./);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
});

test.each<[string, Record<string, string>, () => string | undefined, RegExp]>([
  [
    "a worker",
    {},
    () => swarm.machines[1].dockerHost,
    /orchestrator: got "swarm", expected swarm with DOCKER_HOST at a manager \(\S+:2377\)/,
  ],
  [
    "an engine in no Swarm",
    {},
    () => "",
    /orchestrator: got "swarm", expected docker, as the Docker engine at .* is in no Swarm/,
  ],
  [
    "a wrong password",
    { registryPassword: "a wrong one" },
    () => undefined,
    /registry: got "machine-registry:5000", expected a registry that .* may push to \(it says: .*\)/,
  ],
  [
    "a registry that is not there",
    { registry: "no-such-registry.test:5000" },
    () => undefined,
    /registry: got "no-such-registry\.test:5000", expected a registry/,
  ],
  ["ports for nodes", { nodePorts: "5000" }, () => undefined, /nodePorts: got 5000, expected 0/],
])("%s is refused before anything is changed", async (_what, change, host, words) => {
  const { lab, machines } = swarm;
  Object.assign(lab.host, { dockerHost: host() ?? machines[0].dockerHost });
  for (const [key, value] of Object.entries(change)) await lab.configure(key, value);
  try {
    const { code, output } = await up();
    expect({ code, output }).toMatchObject({ output: expect.stringMatching(words) as string });
    expect(output).toContain("nothing was changed, because");
    expect(code).not.toBe(0);
    expect(output).not.toContain("a wrong one");
  } finally {
    Object.assign(lab.host, { dockerHost: machines[0].dockerHost });
    for (const key of Object.keys(change)) await lab.configure(key, lab.config[key]);
  }
});

test("a node that no engine may have is named with its task's error", async () => {
  await swarm.startWith(2);
  await swarm.lab.configure("placement", "node.labels.disk==ssd");
  await swarm.lab.configure("readyTimeout", 10);
  // The first in turn; the other serves on.
  await withoutLoss(async () => {
    const { code, output } = await up();
    expect(code).not.toBe(0);
    expect(output).toMatch(
      /error: not serving after 10 s: s1 is pending: no suitable node \(scheduling constraints not satisfied/,
    );
  });
  await swarm.lab.succeed("config", "rm", "placement", "--stack", swarm.lab.stack);
  await swarm.lab.configure("readyTimeout", 60);
  await withoutLoss(() => swarm.lab.up());
  await swarm.agrees();
});

test("an engine that can't reach the registry has no new node; the others get them, and nothing is lost", async () => {
  await swarm.startWith(4);
  const third = swarm.machines[2];
  const reject = (change: "-I" | "-D") =>
    swarm.inMachine(third, `iptables ${change} OUTPUT -p tcp --dport 5000 -j REJECT`);
  await reject("-I");
  try {
    await swarm.lab.withEdit("images/webapp/Dockerfile", relabel, async () => {
      await withoutLoss(() => swarm.lab.up());
      await swarm.agrees();
      const tasks = Object.values(await swarm.readTasks());
      expect(tasks.filter((task) => task.startsWith(`${third.name} `))).toEqual([]);
    });
  } finally {
    await reject("-D");
  }
  await withoutLoss(() => swarm.lab.up());
  await swarm.agrees();
});

test("a balancer's image that does not start is rolled back, and the other engines serve on", async () => {
  await swarm.startWith(2);
  await swarm.lab.withEdit("images/ha/Dockerfile", neverStarts, async () => {
    const results = await reportLoad(async () => {
      const { code, output } = await up();
      expect(code).not.toBe(0);
      expect(output).toMatch(
        /not serving after 60 s: the balancer was rolled back, as the new one on machine\d is failed: task: non-zero exit \(1\)/,
      );
    });
    expect(results.filter(({ lost }) => lost.length > 0)).toHaveLength(1);
  });
  await swarm.lab.up();
  await swarm.agrees();
});

test("from one engine to a Swarm and back, with one update each", async () => {
  await swarm.startWith(2);
  const { lab, machines, manager } = swarm;
  const setOrchestrator = async (orchestrator: "docker" | "swarm") => {
    lab.config.orchestrator = orchestrator;
    await lab.configure("orchestrator", orchestrator);
  };
  await setOrchestrator("docker");
  expect(await preview()).toMatch(/\+-.*heig.*replace/);
  await lab.up();
  expect(await manager.listServices()).toEqual([]);
  expect(await askInside(machines[0])).toContain('"hello":"world"');
  await setOrchestrator("swarm");
  await lab.up();
  await swarm.agrees();
});

/** On one engine the ports are those of the machine's loopback: asked from inside it. */
async function askInside(machine: Machine): Promise<string> {
  const script = "exec 3<>/dev/tcp/127.0.0.1/80; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3";
  const container = outer.getContainer(machine.name);
  return (await runInContainer(container, ["bash", "-c", script])).stdout;
}

test("destroy leaves nothing on any engine", async () => {
  const { lab, machines, manager } = swarm;
  await lab.succeed("destroy", "--yes", "--skip-preview", "--stack", lab.stack);
  expect(await manager.listServices()).toEqual([]);
  expect(await manager.listSecrets()).toEqual([]);
  expect(await manager.listConfigs()).toEqual([]);
  await eventually(30_000, async () => {
    for (const machine of machines) {
      expect(await connectMachine(machine).listContainers({ all: true })).toEqual([]);
    }
  });
  const networks = (await manager.listNetworks()).map(({ Name }) => Name);
  expect(networks).not.toContain(swarm.service("heig"));
});
