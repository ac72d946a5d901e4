import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { STACK_LABEL } from "../../config/topology";
import { watchContainers } from "../../providers/lab/watch";
import { engine, LabCheckout } from "../support/checkout";
import { LONG } from "../support/long";
import {
  CONFIG_PATH,
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
  lab = await LabCheckout.create("e2e-conv");
  await lab.up();
});
afterAll(() => lab.remove());

const SERVER = "images/webapp/src/server.ts";

const stackArgs = () => ["--stack", lab.stack];
const refresh = () => lab.succeed("refresh", "--yes", "--skip-preview", ...stackArgs());
const repair = () => lab.succeed("up", "--refresh", "--yes", "--skip-preview", ...stackArgs());

/** Changes a source in the lab's own copy of the checkout. */
function edit(file: string, from: string, to: string): void {
  const path = join(lab.folder, file);
  const before = readFileSync(path, "utf8");
  expect(before).toContain(from);
  writeFileSync(path, before.replace(from, to));
}

/** The lab is as declared, and every node serves at this very moment. */
async function expectServing(nodeCount: number): Promise<void> {
  const servers = await runningServers(lab);
  expect(servers).toEqual(Object.fromEntries(names(nodeCount).map((name) => [name, "UP L7OK"])));
  expect(await configOnDisk(lab)).toBe(previewed(lab, nodeCount));
  expect(Object.keys(await countAnswers(lab, 20 * nodeCount)).sort()).toEqual(names(nodeCount));
}

async function expectNothingToDo(): Promise<void> {
  const args = ["preview", "--refresh", "--expect-no-changes", ...stackArgs()];
  expect(await lab.pulumi(...args)).toMatchObject({ code: 0 });
}

test("a haproxy.cfg edited by hand is drift, and up --refresh repairs it", async () => {
  const script = `sed -i 's/retries 3/retries 7/' ${CONFIG_PATH}`;
  // As its owner: the file is not root's, and root in the container may not write it.
  await inContainer(lab, "ha", "s6-setuidgid", "haproxy", "sh", "-c", script);
  expect(await refresh()).toMatch(
    /Refreshing[^]*~ lab:index:HaproxyConfig: \(update\)\n.*\n.*\n +~ text: \n[^]*\+ {3}retries 7\n/,
  );
  const preview = await lab.succeed("preview", "--diff", ...stackArgs());
  expect(preview).toContain("-   retries 7");
  expect(preview).toContain("+   retries 3");
  expect(preview).toMatch(/Resources:\n {4}~ 1 to update\n {4}\d+ unchanged\n$/);
  await repair();
  await expectServing(2);
  await expectNothingToDo();
});

test("a removed and a stopped container are drift, and up --refresh repairs them", async () => {
  await lab.container("s1").remove({ force: true });
  await lab.container("s2").stop({ t: 5 });
  const refreshed = await refresh();
  expect(refreshed).toMatch(
    /- docker:index\/container:Container: \(delete\)\n.*\n +\[urn=.*::s1\]\n/,
  );
  expect(refreshed).toMatch(
    /~ docker:index\/container:Container: \(update\)\n.*\n +\[urn=.*::s2\]\n.*\n +~ mustRun: true => false\n +- ports {2}: \[\n/,
  );
  await repair();
  await expectServing(2);
  await expectNothingToDo();
});

test("a balancer that was removed comes back with its config", async () => {
  await lab.container("ha").remove({ force: true });
  await repair();
  await expectServing(2);
  await expectNothingToDo();
});

test("a new image of the balancer gets its config by itself", async () => {
  const before = await identity(lab, "ha");
  const nodes = await identity(lab, "s1");
  edit("images/ha/rootfs/etc/s6/haproxy/run", "exec 2>&1", "exec 2>&1 # edited");
  await lab.up();
  expect((await identity(lab, "ha")).Id).not.toBe(before.Id);
  expect(await identity(lab, "s1")).toEqual(nodes);
  await expectServing(2);
  await expectNothingToDo();
});

(LONG ? test : test.skip)("a balancer restarted in the middle of a push is survived", async () => {
  await lab.configure("nodeCount", 3);
  const up = lab.up();
  // The new node's container is there just before the push begins.
  while (!(await exists("s3"))) continue;
  const restarts = [0, 1].map(async (turn) => {
    await new Promise((resolve) => setTimeout(resolve, 300 * turn));
    await lab.container("ha").restart({ t: 5 });
  });
  await Promise.all(restarts);
  await up;
  await expectServing(3);
});

async function exists(name: string): Promise<boolean> {
  return lab
    .container(name)
    .inspect()
    .then(
      ({ State }) => State.Running,
      () => false,
    );
}

(LONG ? test : test.skip)(
  "a new web image, its application slow to start: up ends when every node serves",
  async () => {
    const slow =
      'const until = Date.now() + (tag === "s2" ? 4000 : 0);\nwhile (Date.now() < until);\n';
    edit(SERVER, "const app =", `${slow}const app =`);
    const preview = await lab.succeed("preview", "--diff", ...stackArgs());
    expect(preview).toMatch(/~ backends: \{\n +~ s1: "[0-9a-f]+" => \[unknown\]/);
    await lab.up();
    await expectServing(3);
    await expectNothingToDo();
  },
);

test("a node that never serves: up names it, its last check, and the next up tries again", async () => {
  const application = (option: string) => inContainer(lab, "s2", "s6-svc", option, "/etc/s6/app");
  await lab.scale(3);
  await application("-d");
  await lab.configure("readyTimeout", 6);
  await lab.configure("nodeCount", 2);
  const removed = "s3";
  const args = ["up", "--yes", "--skip-preview", ...stackArgs()];
  for (const attempt of [1, 2]) {
    const { code, output } = await lab.pulumi(...args);
    expect({ attempt, code }).toEqual({ attempt, code: 1 });
    expect(output).toMatch(
      /error: not serving at the deadline: s2 \(DOWN, [\d.]+:3000 refused the connection \[L4CON\]\)/,
    );
    // What serves goes on; what is to go is out of rotation already.
    expect(Object.keys(await countAnswers(lab, 6))).toEqual(["s1"]);
    expect(Object.keys(await runningServers(lab))).not.toContain(removed);
  }
  await application("-u");
  await lab.up();
  await expectServing(2);
  expect(await exists(removed)).toBe(false);
  await lab.configure("readyTimeout", 60);
});

describe("an update does not wait for what stands still", () => {
  /** Longest time until it is said, of which an update needs some for itself. */
  const SAID_WITHIN_MS = 20_000;

  test("a stopped balancer is named with the command that starts it", async () => {
    await lab.container("ha").stop({ t: 5 });
    await lab.configure("nodeCount", 3);
    const started = Date.now();
    const { code, output } = await lab.pulumi("up", "--yes", "--skip-preview", ...stackArgs());
    expect(Date.now() - started).toBeLessThan(SAID_WITHIN_MS);
    expect({ code, output }).toMatchObject({
      code: 1,
      output: expect.stringMatching(
        /error: ha does not run, its container e2e-conv-ha is exited; start it with: npx pulumi up --refresh --stack e2e-conv /,
      ) as string,
    });
    await lab.configure("nodeCount", 2);
    await repair();
    await expectServing(2);
  });

  test("a container that Docker restarts again and again is named with its last line", async () => {
    const looping = await engine.createContainer({
      name: "e2e-conv-loop",
      Image: "debian:trixie-slim",
      Cmd: ["sh", "-c", "echo no such thing; exit 4"],
      Labels: { [STACK_LABEL]: lab.stack },
      HostConfig: { RestartPolicy: { Name: "unless-stopped" } },
    });
    try {
      await looping.start();
      const signal = AbortSignal.timeout(SAID_WITHIN_MS);
      const watching = watchContainers({ [looping.id]: "s1" }, () => [], lab.stack, signal);
      await expect(watching).rejects.toThrow(
        /^s1 ends again and again: restarted [4-9] times, exit code 4; see: docker logs e2e-conv-loop; its last line: no such thing$/,
      );
    } finally {
      await looping.remove({ force: true });
    }
  });
});

(LONG ? describe : describe.skip)("two labs on one engine", () => {
  let other: LabCheckout;
  beforeAll(async () => (other = await LabCheckout.create("e2e-twin")));
  afterAll(() => other.remove());

  const say = (checkout: LabCheckout, hello: string) => {
    const path = join(checkout.folder, "images/webapp/src/app.ts");
    writeFileSync(path, readFileSync(path, "utf8").replace(/hello: "\w+"/, `hello: "${hello}"`));
  };
  const heard = async (checkout: LabCheckout) =>
    (JSON.parse((await get(portOf(checkout, "httpPort"))).body) as { hello: string }).hello;
  const identities = (checkout: LabCheckout) =>
    Promise.all(["ha", "s1", "s2"].map((name) => identity(checkout, name)));

  test("built at the same time they do not mix images", async () => {
    say(lab, "one");
    say(other, "two");
    await Promise.all([lab.up(), other.up()]);
    expect([await heard(lab), await heard(other)]).toEqual(["one", "two"]);
  });

  test("up, scaling and destroy of one never touch the other", async () => {
    const before = await identities(lab);
    await other.scale(3);
    await other.scale(1);
    await other.succeed("destroy", "--yes", "--skip-preview", "--stack", other.stack);
    expect(await identities(lab)).toEqual(before);
    await expectServing(2);
    await expectNothingToDo();
  });
});
