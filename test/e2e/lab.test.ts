import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runInContainer, withoutFrames } from "../../docker/engine";
import { GOLDEN_COUNTS, goldenFile } from "../support/golden";
import { LabCheckout, engine } from "../support/checkout";
import { underLoad } from "../support/load";
import {
  configOnDisk,
  countAnswers,
  get,
  identity,
  inContainer,
  names,
  portOf,
  previewed,
  runningServers,
} from "../support/observe";

jest.setTimeout(300_000);

let lab: LabCheckout;
beforeAll(async () => {
  lab = await LabCheckout.create("e2e-lab");
  await lab.up();
});
afterAll(() => lab.remove());

const port = (key: string) => portOf(lab, key);

/** File, /nodes and process agree on these nodes, and the file is the previewed one. */
async function expectConfig(nodeCount: number): Promise<void> {
  const nodes = names(nodeCount);
  expect(await configOnDisk(lab)).toBe(previewed(lab, nodeCount));
  expect((await inContainer(lab, "ha", "ls", "/nodes")).trim().split("\n")).toEqual(
    nodes.map((name) => `${name}.yaml`),
  );
  expect(Object.keys(await runningServers(lab))).toEqual(nodes);
  expect(await lab.output("nodeNames")).toEqual(nodes);
}

/** Each node answers its share; meaningful only without other traffic. */
async function expectEvenAnswers(nodeCount: number): Promise<void> {
  const answers = await countAnswers(lab, 10 * nodeCount);
  expect(Object.keys(answers).sort()).toEqual(names(nodeCount));
  for (const count of Object.values(answers)) expect(Math.abs(count - 10)).toBeLessThanOrEqual(1);
}

test("up: two nodes serve evenly, each reachable alone, and the stats page lists them", async () => {
  await expectConfig(2);
  await expectEvenAnswers(2);
  for (const [i, name] of names(2).entries()) {
    const { body } = await get(port("nodePorts") + i);
    expect(JSON.parse(body)).toMatchObject({ tag: name, host: name });
  }
  const { status, body } = await get(port("statsPort"));
  expect(status).toBe(200);
  for (const name of names(2)) expect(body).toContain(`name="nodes/${name}"`);
});

test("a second up changes nothing", async () => {
  const args = ["preview", "--expect-no-changes", "--stack", lab.stack];
  expect(await lab.pulumi(...args)).toMatchObject({ code: 0 });
  expect(await lab.up()).toMatch(/Resources:\n {4}18 unchanged\n/);
});

test("refresh finds nothing to change", async () => {
  const refreshed = await lab.succeed("refresh", "--yes", "--skip-preview", "--stack", lab.stack);
  expect(refreshed).toMatch(/Resources:\n {4}18 unchanged\n/);
});

test("preview --diff of 2 → 3: one container, one line of haproxy.cfg, nothing else", async () => {
  await lab.configure("nodeCount", 3);
  const diff = await lab.succeed("preview", "--diff", "--stack", lab.stack);
  // Every line that is marked as a change.
  const operations = diff.split("\n").filter((line) => /^ *(\+|-|~|\+-|--|\+\+) *[\w[]/.test(line));
  const subnet = String(lab.config.subnet).replace("0/24", "");
  expect(operations.map((line) => line.trim())).toEqual([
    "+ docker:index/container:Container: (create)",
    "~ lab:index:HaproxyConfig: (update)",
    "~ text:",
    `+   server s3 ${subnet}13:3000 guid s3 check inter 500 fastinter 100 downinter 100` +
      " fall 2 rise 1 observe layer4 error-limit 3 on-error mark-down",
    "--outputs:--",
    "~ nodeAddresses  : {",
    `+ s3: "${subnet}13"`,
    "~ nodeNames      : [",
    '+ [2]: "s3"',
    "~ nodeUrls       : [",
    `+ [2]: "http://127.0.0.1:${port("nodePorts") + 2}"`,
    "+ 1 to create",
    "~ 1 to update",
  ]);
  await lab.configure("nodeCount", 2);
});

test("2 → 5 → 3: no request is lost, only nodes and config are touched", async () => {
  const before = { ha: await identity(lab, "ha"), s1: await identity(lab, "s1") };
  const { sent, lost } = await underLoad(lab, async () => {
    await lab.scale(5);
    await expectConfig(5);
    await lab.scale(3);
    await expectConfig(3);
  });
  console.log(`2 → 5 → 3: ${sent} requests sent, ${lost.length} lost`);
  expect(sent).toBeGreaterThan(500);
  expect(lost).toEqual([]);
  expect({ ha: await identity(lab, "ha"), s1: await identity(lab, "s1") }).toEqual(before);
  await expectEvenAnswers(3);
});

test.each(GOLDEN_COUNTS)("the golden haproxy.cfg for %i nodes passes haproxy -c", async (count) => {
  const { exitCode, stdout, stderr } = await runInContainer(
    lab.container("ha"),
    ["haproxy", "-c", "-f", "/dev/stdin"],
    { stdin: readFileSync(goldenFile(count)) },
  );
  expect({ exitCode, stdout, stderr }).toEqual({ exitCode: 0, stdout: "", stderr: "" });
});

interface Process {
  pid: number;
  user: string;
  command: string;
}

/** The processes of a container as /proc has them; there is no ps in the images. */
async function listProcesses(name: string): Promise<Process[]> {
  const script =
    'for p in /proc/[0-9]*; do echo "${p#/proc/} $(stat -c %U "$p") $(tr "\\0" " " <"$p/cmdline")"; done';
  const lines = (await inContainer(lab, name, "sh", "-c", script)).trim().split("\n");
  return lines
    .map((line) => /^(\d+) (\S+) (.+)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, pid, user, command]) => ({ pid: Number(pid), user, command: command.trim() }))
    .filter(({ command }) => !command.startsWith("sh -c") && !command.startsWith("s6-supervise"));
}

const SERVICES: [container: string, user: string, command: RegExp][] = [
  ["s1", "webapp", /^node .*server\.js/],
  ["s1", "_serf", /^\/usr\/bin\/serf agent/],
  ["s1", "_serf", /serf-join$/],
  ["s1", "nobody", /^s6-log .*app:/],
  ["s1", "nobody", /^s6-log .*serf:/],
  ["ha", "haproxy", /^haproxy -W/],
  ["ha", "haproxy", /^node .*configurator\.js/],
  ["ha", "_serf", /^\/usr\/bin\/serf agent/],
  ["ha", "nobody", /^s6-log .*haproxy:/],
  ["ha", "nobody", /^s6-log .*configurator:/],
];

test.each(SERVICES)(
  "in %s the process of %s, %s, is back 2 s after kill -9",
  async (...service) => {
    const [container, user, command] = service;
    const find = async () => {
      const all = await listProcesses(container);
      // HAProxy's worker has its master's command line: the master is the older one.
      return all.filter((found) => command.test(found.command)).sort((a, b) => a.pid - b.pid)[0];
    };
    const before = { process: await find(), container: await identity(lab, container) };
    expect(before.process.user).toBe(user);
    await inContainer(lab, container, "sh", "-c", `kill -9 ${before.process.pid}`);
    const deadline = Date.now() + 2000;
    let after = await find();
    while (after === undefined || after.pid === before.process.pid) {
      expect(Date.now()).toBeLessThan(deadline);
      after = await find();
    }
    expect(after.user).toBe(user);
    expect(await identity(lab, container)).toEqual(before.container);
  },
);

test("after all those kills the cluster serves as before", async () => {
  // An up that changes nothing waits for nothing: the nodes that were killed last may still start.
  const deadline = Date.now() + 10_000;
  while (Object.keys(await countAnswers(lab, 9)).length < 3)
    expect(Date.now()).toBeLessThan(deadline);
  await expectConfig(3);
});

test("docker logs marks every line with its process", async () => {
  const logs = async (name: string) => {
    const raw = await lab.container(name).logs({ stdout: true, stderr: true });
    const lines = withoutFrames(raw).trim().split("\n");
    return new Set(lines.map((line) => line.split(":")[0]));
  };
  expect(await logs("s1")).toEqual(new Set(["app", "serf"]));
  expect(await logs("ha")).toEqual(new Set(["haproxy", "configurator", "serf"]));
});

test("the admin CLI answers the host and refuses a node", async () => {
  expect(Object.keys(await runningServers(lab))).toEqual(names(3));
  const ask = `
    const socket = require("net").connect(9999, "ha").on("error", () => console.log("refused"));
    socket.end("show info\\n");
    let answer = "";
    socket.on("data", (chunk) => (answer += chunk));
    socket.on("close", () => console.log("answer: " + answer));`;
  const answer = await inContainer(lab, "s1", "node", "-e", ask);
  expect(answer).not.toContain("HAProxy");
  expect(answer).toMatch(/^(refused\n)?answer: \n$/);
});

test("one changed line of the application rebuilds one layer of one image", async () => {
  const layers = async (image: string) =>
    (await engine.getImage(`${lab.config.namePrefix}lab-${image}:${lab.stack}`).inspect()).RootFS
      .Layers as string[];
  const before = {
    base: await layers("base"),
    ha: await layers("ha"),
    app: await layers("webapp"),
  };
  const ha = await identity(lab, "ha");
  const source = join(lab.folder, "images/webapp/src/app.ts");
  writeFileSync(source, readFileSync(source, "utf8").replace('hello: "world"', 'hello: "heig"'));
  await lab.up();
  const after = { base: await layers("base"), ha: await layers("ha"), app: await layers("webapp") };
  expect({ ...after, app: after.app.slice(0, -1) }).toEqual({
    ...before,
    app: before.app.slice(0, -1),
  });
  expect(after.app.at(-1)).not.toBe(before.app.at(-1));
  expect(JSON.parse((await get(port("httpPort"))).body)).toMatchObject({ hello: "heig" });
  expect(await identity(lab, "ha")).toEqual(ha);
});

test("a template edited in the checkout is a text diff and an update in place", async () => {
  const ha = await identity(lab, "ha");
  const template = join(lab.folder, "haproxy/haproxy.cfg.hbs");
  const edited = readFileSync(template, "utf8").replace("balance roundrobin", "balance leastconn");
  writeFileSync(template, edited);
  const diff = await lab.succeed("preview", "--diff", "--stack", lab.stack);
  expect(diff).toContain("-   balance roundrobin");
  expect(diff).toContain("+   balance leastconn");
  expect(diff).toMatch(/Resources:\n {4}~ 1 to update\n {4}\d+ unchanged\n$/);
  await lab.up();
  expect(await configOnDisk(lab)).toContain("  balance leastconn\n");
  expect(await identity(lab, "ha")).toEqual(ha);
});

test("destroy leaves no container, network or volume", async () => {
  await lab.succeed("destroy", "--yes", "--skip-preview", "--stack", lab.stack);
  expect(await lab.leftovers()).toEqual([]);
});
