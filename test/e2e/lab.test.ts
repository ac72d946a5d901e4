import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { runInContainer, withoutFrames } from "../../docker/exec";
import { poll } from "../../time/poll";
import { GOLDEN_COUNTS, goldenFile } from "../support/golden";
import { readStateFile } from "../support/balancer";
import { LabCheckout, engine } from "../support/checkout";
import { underLoad } from "../support/load";
import {
  configOnDisk,
  countAnswers,
  eventually,
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

test("debug messages of the program are for who asks for them", async () => {
  const args = ["preview", "--stack", lab.stack];
  const message = /debug: Registering resource: t=docker:index\/container:Container, name=s1,/;
  expect(await lab.succeed(...args, "--debug")).toMatch(message);
  expect(await lab.succeed(...args)).not.toMatch(message);
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
      " fall 2 rise 1 observe layer4 error-limit 3 on-error sudden-death",
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
    const isNew = (seen?: Process) => seen !== undefined && seen.pid !== before.process.pid;
    const after = await poll(find, isNew, { everyMs: 20, withinMs: 2000 });
    expect(isNew(after)).toBe(true);
    expect(after.user).toBe(user);
    expect(await identity(lab, container)).toEqual(before.container);
  },
);

test("after all those kills the cluster serves as before", async () => {
  // An up that changes nothing waits for nothing: the nodes that were killed last may still start.
  await eventually(10_000, async () =>
    expect(Object.keys(await countAnswers(lab, 9))).toHaveLength(3),
  );
  await expectConfig(3);
});

const TIMES =
  /\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+|\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d|\d\d\/[A-Z]\w\w\/\d{4}(:\d\d){3}/g;

test("docker logs has every line once, with its process and one time", async () => {
  // HAProxy logs a request that it denies.
  await converse(port("httpPort"), "POST /delay HTTP/1.0\r\n\r\n");
  const logs = async (name: string) => {
    const raw = await lab.container(name).logs({ stdout: true, stderr: true });
    const lines = withoutFrames(raw).trimEnd().split("\n");
    expect(lines.filter((line) => line.match(TIMES)?.length !== 1)).toEqual([]);
    return lines.map((line) => line.replace(/^[-\d]+ [:.\d]+ +/, ""));
  };
  const marks = (lines: string[]) => new Set(lines.map((line) => line.split(": ")[0]));
  expect(marks(await logs("s1"))).toEqual(new Set(["app", "serf"]));
  const balancer = await logs("ha");
  expect(marks(balancer)).toEqual(new Set(["haproxy", "configurator", "serf"]));
  const ofServers = balancer.filter((line) => line.includes("Server nodes/"));
  expect(new Set(ofServers.map((line) => line.split("nodes/")[0]))).toEqual(
    new Set(["haproxy: Server "]),
  );
  expect(balancer.filter((line) => line.includes('"POST /delay HTTP/1.0"'))).toHaveLength(1);
});

test.each([
  ["the admin CLI", "adminPort", 9999, "show info\n", "Name: HAProxy"],
  ["the statistics", "statsPort", 1936, "GET /metrics HTTP/1.0\r\n\r\n", "haproxy_process"],
])("%s: for the host, and a node is refused", async (_what, key, internal, bytes, answer) => {
  expect(await converse(port(key), bytes)).toContain(answer);
  const ask = `
    const socket = require("net").connect(${internal}, "ha").on("error", () => console.log("refused"));
    socket.end(${JSON.stringify(bytes)});
    let answer = "";
    socket.on("data", (chunk) => (answer += chunk));
    socket.on("close", () => console.log("answer: " + answer));`;
  expect(await inContainer(lab, "s1", "node", "-e", ask)).toMatch(/^(refused\n)?answer: \n$/);
});

/** Longest wait for the other side to close. */
const PATIENCE_MS = 1000;

/** All that comes back for these bytes, said after a while, until one side has had enough. */
function converse(to: number, bytes: string, silenceMs = 0): Promise<string> {
  return new Promise((resolve) => {
    let answer = "";
    const socket = connect(to, "127.0.0.1");
    socket.setEncoding("latin1").on("data", (chunk: string) => (answer += chunk));
    // A reset is a way to close.
    socket.on("error", () => undefined).on("close", () => resolve(answer));
    socket.on("timeout", () => socket.destroy());
    setTimeout(() => socket.setTimeout(PATIENCE_MS).write(bytes), silenceMs);
  });
}

/** A request whose body, or what follows its headers, is the admin CLI's. */
const withCommands = (line: string, header = "") =>
  `${line} HTTP/1.1\r\nHost: x\r\n${header}Content-Length: 30\r\n\r\n\ndisable server nodes/s2\n\n`;
const HUGE = "a".repeat(40_000);

test("the admin CLI is for commands, and no web page or HTTP client gets anything from it", async () => {
  const attacks: [bytes: string, silenceMs?: number][] = [
    [withCommands("POST /;prompt;")],
    [withCommands("GET /;prompt;")],
    [withCommands("PUT /;prompt;")],
    // Longer than the usual inspect-delay.
    [withCommands("POST /;prompt;"), 6000],
    [withCommands("POST /;prompt;", `X: ${HUGE}\r\n`)],
    [withCommands(`POST /;prompt;${HUGE}`)],
    // Where a name of the page's own leads here, it may make up methods.
    [withCommands("show /;prompt;")],
    [withCommands("show /;prompt;"), 6000],
    [withCommands(`show /;prompt;${HUGE}`)],
    ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\ndisable server nodes/s2\n\n"],
    ["\ndisable server nodes/s2\n\n"],
  ];
  const answers = await Promise.all(
    attacks.map((attack) => converse(port("adminPort"), ...attack)),
  );
  expect(answers).toEqual(attacks.map(() => ""));
  expect(await runningServers(lab)).toEqual(
    Object.fromEntries(names(3).map((name) => [name, "UP L7OK"])),
  );

  const interactive = "prompt\nshow version\nquit\n";
  expect(await converse(port("adminPort"), interactive)).toMatch(/^\n> \d+\.\d+\.\d+.*\n\n> /);
});

test("POST /delay through the balancer is denied however it is spelt; a node's own port takes it", async () => {
  const spellings: [target: string, status: number, own: number][] = [
    ["/delay", 403, 200],
    ["/delay?x=%zz", 403, 200],
    ["/delay#x", 400, 200],
    ["/%64elay", 403, 200],
    ["/%64%65%6c%61%79", 403, 200],
    ["/d%65la%79?%zz", 403, 200],
    ["http://x/delay", 403, 200],
    ["HTTP://x/dela%79", 403, 200],
    ["//delay", 403, 404],
    ["/delay/", 403, 404],
    ["/delay;x", 403, 404],
    ["/DELAY", 403, 404],
    ["/x/../delay", 403, 404],
    ["/%2fdelay", 403, 404],
    ["/%2564elay", 404, 404],
  ];
  const post = async (to: number, target: string) => {
    const headers = "Host: x\r\nConnection: close\r\nContent-Type: application/json\r\n";
    const body = '{"delay": 0}';
    const request = `POST ${target} HTTP/1.1\r\n${headers}Content-Length: ${body.length}\r\n\r\n${body}`;
    return Number((await converse(to, request)).split(" ")[1]);
  };
  const tried = spellings.map(async ([target]): Promise<(typeof spellings)[number]> => {
    const statuses = [post(port("httpPort"), target), post(port("nodePorts"), target)];
    const [status, own] = await Promise.all(statuses);
    return [target, status, own];
  });
  expect(await Promise.all(tried)).toEqual(spellings);
});

test("HTTP/2 in clear is refused, and a body reaches a node when it is whole", async () => {
  const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0";
  expect(await converse(port("httpPort"), preface)).toMatch(/^HTTP\/1\.\d 400 /);

  const received = async (id: string) => {
    const logs = names(3).map((name) => lab.container(name).logs({ stdout: true, stderr: true }));
    const text = (await Promise.all(logs)).map(withoutFrames).join("");
    return text.includes(`POST /?id=${id} received`);
  };
  const headers = "Host: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n";
  const slow = connect(port("httpPort"), "127.0.0.1");
  slow.write(`POST /?id=slow HTTP/1.1\r\n${headers}{`);
  const whole = `POST /?id=whole HTTP/1.1\r\nConnection: close\r\n${headers}{}`;
  expect(await converse(port("httpPort"), whole)).toContain(" 404 ");
  await eventually(PATIENCE_MS, async () => expect(await received("whole")).toBe(true));
  expect(await received("slow")).toBe(false);
  slow.write("}");
  await eventually(PATIENCE_MS, async () => expect(await received("slow")).toBe(true));
  slow.destroy();
});

test("a change by the admin CLI shows in a refresh, and up --refresh undoes it", async () => {
  await converse(port("adminPort"), "set weight nodes/s2 0; shutdown frontend localnodes\n");
  const refreshed = await lab.succeed("refresh", "--preview-only", "--diff", "--stack", lab.stack);
  expect(refreshed).toContain("frontend localnodes: got STOP, expected OPEN");
  expect(refreshed).toContain("server nodes/s2: got weight 0, expected 1");
  await lab.succeed("up", "--refresh", "--yes", "--skip-preview", "--stack", lab.stack);
  await expectEvenAnswers(3);
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

test("a statistics' password is asked for, and shows nowhere", async () => {
  const [first, second] = ["correct horse: 1", "battery staple~2"];
  const answers = (...passwords: string[]) =>
    Promise.all(
      ["", ...passwords].flatMap((password) => {
        const credentials = Buffer.from(`admin:${password}`).toString("base64");
        const header = password && `Authorization: Basic ${credentials}\r\n`;
        return ["/", "/metrics"].map(async (path) => {
          const answer = await converse(port("statsPort"), `GET ${path} HTTP/1.0\r\n${header}\r\n`);
          return Number(answer.split(" ")[1]);
        });
      }),
    );
  const shown: string[] = [];
  const hashes: string[] = [];
  const secretFiles = ["declaration.json", "users.cfg"].map(
    (file) => `/var/lib/configurator/${file}`,
  );
  const change = async (password: string) => {
    await lab.configure("statsPassword", password);
    shown.push(await lab.succeed("preview", "--diff", "--stack", lab.stack));
    shown.push(await lab.succeed("up", "--diff", "--yes", "--skip-preview", "--stack", lab.stack));
    const users = await readStateFile(lab, "users.cfg");
    hashes.push(/^userlist statistics\n {2}user admin password (\S+)\n$/.exec(users)![1]);
  };

  await change(first);
  expect(shown[0]).toContain(
    "+   http-request auth realm statistics unless { http_auth(statistics) }",
  );
  expect(shown[0]).toMatch(/Resources:\n {4}\+ 1 to create\n {4}~ 1 to update\n/);
  expect(await answers(first, second)).toEqual([401, 401, 200, 200, 401, 401]);
  expect(await inContainer(lab, "ha", "stat", "-c", "%a %U", ...secretFiles)).toBe(
    "600 haproxy\n600 haproxy\n",
  );
  const again = ["preview", "--refresh", "--expect-no-changes", "--stack", lab.stack];
  expect(await lab.pulumi(...again)).toMatchObject({ code: 0 });

  await change(second);
  expect(shown[2]).toMatch(/Resources:\n {4}~ 2 to update\n/);
  expect(await answers(first, second)).toEqual([401, 401, 401, 401, 200, 200]);

  shown.push(
    await configOnDisk(lab),
    await lab.succeed("stack", "export", "--stack", lab.stack),
    readFileSync(join(lab.folder, `Pulumi.${lab.stack}.yaml`), "utf8"),
    JSON.stringify(await lab.container("ha").inspect()),
    withoutFrames(await lab.container("ha").logs({ stdout: true, stderr: true })),
  );
  for (const secret of [first, second, ...hashes]) {
    expect(shown.filter((text) => text.includes(secret))).toEqual([]);
  }

  await lab.succeed("config", "rm", "statsPassword", "--stack", lab.stack);
  await lab.up();
  expect(await answers()).toEqual([200, 200]);
  expect(await readStateFile(lab, "users.cfg")).toBe("userlist statistics\n");
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
