import { execFile } from "node:child_process";
import { HAND_LABEL } from "../../config/member";
import { ROLE_LABEL, STACK_LABEL } from "../../config/topology";
import { poll } from "../../time/poll";
import { LabCheckout, engine, type Outcome } from "../support/checkout";
import { expectAgreement, pauseNode } from "../support/cluster";
import {
  countAnswers,
  eventually,
  FAILED_WITHIN_MS,
  identity,
  inContainer,
  names,
} from "../support/observe";

jest.setTimeout(300_000);

let lab: LabCheckout;
beforeAll(async () => {
  lab = await LabCheckout.create("e2e-hand");
  await lab.up();
});
afterAll(() => lab.remove());

const stackArgs = () => ["--stack", lab.stack];
const networkName = () => `${lab.config.namePrefix}heig`;
/** An address in the lab's network. */
const at = (host: number) => String(lab.config.subnet).replace("0/24", String(host));

/** An operator command in the copy. */
function tool(name: string, ...args: string[]): Promise<Outcome> {
  const command = ["--require", "tsx/cjs", `cli/${name}.ts`, ...args, ...stackArgs()];
  return new Promise((resolve) =>
    execFile(process.execPath, command, { cwd: lab.folder }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, output: stdout + stderr }),
    ),
  );
}

/** The same for a command that has to end with that code. @returns what it says */
async function endsWith(expected: number, ...args: Parameters<typeof tool>): Promise<string> {
  const { code, output } = await tool(...args);
  expect({ args, code }).toEqual({ args, code: expected });
  return output.trim();
}
const refused = (...args: Parameters<typeof tool>) => endsWith(1, ...args);
/** Refused for an argument that the command does not have. */
const misused = (...args: Parameters<typeof tool>) => endsWith(2, ...args);

/** Asks until all agree, or do not, which after a change takes the checks and gossip a moment. */
async function statusOf(code: 0 | 1, prepare = () => Promise.resolve("")): Promise<string[]> {
  const look = () => prepare().then(() => tool("status"));
  const options = { everyMs: 100, withinMs: 30_000 };
  const status = await poll(look, (seen) => seen.code === code, options);
  expect(status).toMatchObject({ code });
  return status.output.trim().split("\n");
}

async function expectServing(...nodes: string[]): Promise<void> {
  expect(await expectAgreement(lab)).toEqual(nodes);
  expect(Object.keys(await countAnswers(lab, 4 * nodes.length)).sort()).toEqual(nodes.sort());
}

test("a node is added, serves, and is made of what a declared one is", async () => {
  const { code, output } = await tool("node", "add", "s9");
  expect(output).toMatch(
    new RegExp(
      `^Started container e2e-hand-s9 at ${at(254)}\\.\n` +
        "s9 is in the balancer's rotation and UP, \\d+\\.\\d s after the command began\\.\n$",
    ),
  );
  expect(code).toBe(0);
  // At once: the command has waited for it.
  expect(Object.keys(await countAnswers(lab, 9)).sort()).toEqual(["s1", "s2", "s9"]);
  await expectServing("s1", "s2", "s9");

  const describe = async (name: string) => {
    const { Config, HostConfig } = await lab.container(name).inspect();
    const { CapAdd, CapDrop, LogConfig, Memory, MemorySwap, RestartPolicy, SecurityOpt } =
      HostConfig as Record<string, unknown>;
    const key = await inContainer(lab, name, "stat", "-c", "%a %U %s", "/etc/serf/key");
    return {
      host: { CapAdd, CapDrop, LogConfig, Memory, MemorySwap, RestartPolicy, SecurityOpt },
      env: Config.Env.map((line) =>
        line.replaceAll(name, "NAME").replace(/=(pulumi|hand)/, "=WHO"),
      ),
      hostname: Config.Hostname === name,
      key,
    };
  };
  expect(await describe("s9")).toEqual(await describe("s1"));
  const { Config, NetworkSettings } = await lab.container("s9").inspect();
  expect(NetworkSettings.Ports).toEqual({});
  expect(Config).toMatchObject({ StopTimeout: 10 });
  const key = await inContainer(lab, "ha", "cat", "/etc/serf/key");
  expect(await inContainer(lab, "s9", "cat", "/etc/serf/key")).toBe(key);
  expect(Config.Env.join()).not.toContain(key.trim());
});

test("list and status show it", async () => {
  const cells = (line: string) => line.split(/ {2,}/);
  const list = await tool("node", "list");
  expect({ code: list.code, rows: list.output.trim().split("\n").map(cells) }).toEqual({
    code: 0,
    rows: [
      ["node", "address", "state", "container"],
      ["s9", at(254), "running", "e2e-hand-s9"],
    ],
  });
  const [title, , header, ...rest] = await statusOf(0);
  expect(title).toBe(`stack ${lab.stack}`);
  const rows = rest.slice(0, 3).map(cells);
  const serving = ["alive", "yes", "yes", "UP", "L7OK", "running"];
  expect(rows).toEqual([
    ["s1", at(11), "yes", ...serving],
    ["s2", at(12), "yes", ...serving],
    ["s9", at(254), "by hand", ...serving],
  ]);
  const titles = "node,address,declared,gossip,/nodes,cfg,HAProxy,check,container";
  expect(cells(header)).toEqual(titles.split(","));
  expect(rest.slice(3)).toEqual(["", "All agree."]);
});

test("a name that is not to be had is refused, naming why", async () => {
  const remove = `npm run node -- remove s9 --stack ${lab.stack}`;
  expect(await refused("node", "add", "s9")).toBe(
    `s9 exists already: its container e2e-hand-s9 is running; remove it with: ${remove}`,
  );
  expect(await refused("node", "add", "s2")).toBe(
    "s2 is declared already (s1, s2); nodeCount says how many there are, " +
      "a node added by hand needs another name",
  );
  expect(await misused("node", "add", "S_9")).toBe(
    'node name: got "S_9", expected 1 to 63 of a-z 0-9 and, inside, -',
  );
  expect(await refused("node", "remove", "s2")).toBe(
    "s2 was not added by hand but is declared; for fewer nodes run: npx pulumi config set " +
      `nodeCount 1 --stack ${lab.stack} && npx pulumi up --stack ${lab.stack}`,
  );
  expect(await misused("node", "remove", "s7")).toBe(
    "there is no node s7 added by hand; there is: s9",
  );
  expect(await misused("node", "make", "s7")).toMatch(/^usage: npm run node -- add NAME/);
  await expectServing("s1", "s2", "s9");
});

test("up neither disturbs nor forgets it, also when the balancer is made anew", async () => {
  const before = await identity(lab, "s9");
  await lab.scale(3);
  expect(await identity(lab, "s9")).toEqual(before);
  await expectServing("s1", "s2", "s3", "s9");

  const preview = ["preview", "--refresh", "--expect-no-changes", ...stackArgs()];
  expect(await lab.pulumi(...preview)).toMatchObject({ code: 0 });

  await lab.container("ha").remove({ force: true });
  expect(await endsWith(3, "status")).toBe(
    `the balancer of stack ${lab.stack} is gone; ` +
      `make it again with: npx pulumi up --refresh --stack ${lab.stack}`,
  );
  await lab.succeed("up", "--refresh", "--yes", "--skip-preview", ...stackArgs());
  expect(await identity(lab, "s9")).toEqual(before);
  await expectServing("s1", "s2", "s3", "s9");
});

test("what would take its name or its network is refused before anything changes", async () => {
  const before = await Promise.all(["ha", "s1", "s9"].map((name) => identity(lab, name)));
  const way = `(s9 at ${at(254)}), or run: npm run node -- remove s9 --stack ${lab.stack}`;
  const cases: [key: string, value: string | number, back: string | number, problem: string][] = [
    [
      "nodeCount",
      9,
      3,
      `nodeCount: got 9, expected a number whose names and addresses no node added by hand has ${way}`,
    ],
    [
      "subnet",
      "10.214.77.0/24",
      lab.config.subnet,
      `subnet: got "10.214.77.0/24", expected the network of the nodes added by hand ${way}`,
    ],
    [
      "namePrefix",
      "e2e-other-",
      lab.config.namePrefix,
      `namePrefix: got "e2e-other-", expected the prefix of the nodes added by hand ${way}`,
    ],
  ];
  for (const [key, value, back, problem] of cases) {
    await lab.configure(key, value);
    const { code, output } = await lab.pulumi("up", "--yes", "--skip-preview", ...stackArgs());
    expect(code).not.toBe(0);
    expect(output).toContain(`error: nothing was changed, because\n      ${problem}\n`);
    await lab.configure(key, back);
  }
  const after = await Promise.all(["ha", "s1", "s9"].map((name) => identity(lab, name)));
  expect(after).toEqual(before);
});

test("repair leaves it alone", async () => {
  const before = await identity(lab, "s9");
  // What an interrupted update leaves: on the lab's network, with a role, in no state.
  const { Image } = await lab.container("s1").inspect();
  const left = await engine.createContainer({
    name: "e2e-hand-s5",
    Image,
    Labels: { [ROLE_LABEL]: "backend" },
    HostConfig: { NetworkMode: networkName() },
  });
  await left.start();
  expect((await tool("repair")).output).toMatch(
    /^Removed container e2e-hand-s5, which no state records\.\nReading what/,
  );
  expect(await identity(lab, "s9")).toEqual(before);
  await expectServing("s1", "s2", "s3", "s9");
});

test("stopped it is out, started it is in, and status agrees with both", async () => {
  await lab.container("s9").stop({ t: 10 });
  await expectServing("s1", "s2", "s3");
  const exited = ["s9", at(254), "by hand", "left", "-", "-", "-", "-", "exited"];
  // Gossip says `leaving` until the end of the agent is known too.
  await eventually(FAILED_WITHIN_MS, async () => {
    const [, , , , , , row, , verdict] = await statusOf(0);
    expect({ row: row.split(/ {2,}/), verdict }).toEqual({ row: exited, verdict: "All agree." });
  });
  // Its address stays its own.
  expect((await tool("node", "add", "s10")).output).toContain(`e2e-hand-s10 at ${at(253)}.\n`);
  await lab.container("s9").start();
  await expectServing("s1", "s2", "s3", "s9", "s10");
  expect((await tool("node", "remove", "s10")).output).toBe(
    "Removed s10 with its container e2e-hand-s10.\n",
  );
  await expectServing("s1", "s2", "s3", "s9");
});

test("status says where the views differ, and when they agree again", async () => {
  const tamper = () =>
    inContainer(lab, "ha", "s6-setuidgid", "haproxy", "rm", "-f", "/nodes/s1.yaml");
  // Within ten seconds the configurator undoes it by itself.
  expect((await statusOf(1, tamper)).at(-1)).toBe(
    "s1: declared, its container running, alive in gossip, in haproxy.cfg, " +
      "UP in HAProxy (last check L7OK); but not in /nodes.",
  );
  expect((await statusOf(0)).at(-1)).toBe("All agree.");

  await pauseNode(lab, "s2");
  const said = (await statusOf(1)).at(-1);
  await lab.container("s2").unpause();
  expect(said).toMatch(
    /^s2: declared, its container paused,.*; but .*(failed|DOWN|not in HAProxy)/,
  );
  expect((await statusOf(0)).at(-1)).toBe("All agree.");
});

test("a balancer that does not run is said not to", async () => {
  await lab.container("ha").stop({ t: 10 });
  const problem =
    `the balancer of stack ${lab.stack} does not run, its container e2e-hand-ha is exited; ` +
    `start it with: npx pulumi up --refresh --stack ${lab.stack} ` +
    "(or, as it was: docker start e2e-hand-ha)";
  expect(await endsWith(3, "status")).toBe(problem);
  expect(await refused("node", "add", "s10")).toBe(problem);
  expect((await tool("node", "list")).code).toBe(0);
  await lab.container("ha").start();
  await expectServing("s1", "s2", "s3", "s9");
});

test("a service is restarted in any member, and nothing else", async () => {
  for (const [member, service] of [
    ["s1", "serf"],
    ["s9", "app"],
    ["ha", "configurator"],
  ]) {
    const before = await identity(lab, member);
    const list = await tool("service", "list", member);
    const { code, output } = await tool("service", "restart", member, service);
    const words =
      /^(\w+) of (\w+) runs again after \d+\.\d s: pid (\d+) before, now pid (\d+)\.\n$/;
    expect({ code, output }).toEqual({ code: 0, output: expect.stringMatching(words) as string });
    const [, ...said] = words.exec(output)!;
    expect(said.slice(0, 2)).toEqual([service, member]);
    expect(list.output).toMatch(new RegExp(`^${service} +up +${said[2]} +\\d+ s$`, "m"));
    const pid = await inContainer(lab, member, "s6-svstat", "-o", "pid", `/etc/s6/${service}`);
    expect(pid.trim()).toBe(said[3]);
    expect(await identity(lab, member)).toEqual(before);
  }
  expect(await misused("service", "restart", "s8", "serf")).toBe(
    `stack ${lab.stack} has no member s8; there is: ha, s1, s2, s3, s9`,
  );
  expect(await misused("service", "restart", "s1", "haproxy")).toBe(
    "s1 has no service haproxy; there is: app, join, serf",
  );
  await expectServing("s1", "s2", "s3", "s9");
});

test("a node is removed in an orderly way", async () => {
  expect(await tool("node", "remove", "s9")).toEqual({
    code: 0,
    output: "Removed s9 with its container e2e-hand-s9.\n",
  });
  expect(Object.keys(await countAnswers(lab, 9)).sort()).toEqual(names(3));
  await expectServing(...names(3));
  expect(
    await inContainer(lab, "s1", "grep", "-c", 'member-leave name="s9"', "/var/log/serf.log"),
  ).not.toBe("0\n");
  expect((await tool("node", "list")).output).toBe(
    `No node of stack ${lab.stack} was added by hand.\n`,
  );
});

test("clean takes it down with the lab, also one that never started", async () => {
  expect((await tool("node", "add", "s9")).code).toBe(0);
  const labels = { [HAND_LABEL]: "s10" };
  await engine.createContainer({
    name: "e2e-hand-s10",
    Image: `${lab.config.namePrefix}lab-webapp:${lab.stack}`,
    Labels: labels,
    HostConfig: { NetworkMode: networkName() },
  });
  const { code, output } = await tool("clean");
  expect(output).toContain("Nodes added by hand go too: s9, s10.\n");
  expect(output).toContain("removed e2e-hand-s9, which was added by hand");
  expect({ code, leftovers: await lab.leftovers() }).toEqual({ code: 0, leftovers: [] });
  const filters = { label: [`${STACK_LABEL}=${lab.stack}`] };
  expect(await engine.listImages({ filters })).toEqual([]);
  expect(await refused("node", "list")).toBe(
    `the lab of stack ${lab.stack} does not run; start it with: npx pulumi up --stack ${lab.stack}`,
  );
});
