/** Two balancers: what one may lose while the other serves. Faults of each under load: chaos. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { withoutFrames } from "../../docker/exec";
import { poll } from "../../time/poll";
import { LabCheckout } from "../support/checkout";
import { addByHand, expectAgreement } from "../support/cluster";
import { editHaImage, killUp, settle } from "../support/faults";
import { describeLoad, underLoad } from "../support/load";
import {
  balancersOf,
  CONFIG_PATH,
  eventually,
  get,
  identity,
  inContainer,
  names,
  portOf,
  runningServers,
} from "../support/observe";

jest.setTimeout(300_000);

let lab: LabCheckout;
beforeAll(async () => {
  lab = await LabCheckout.create("e2e-pair");
  await lab.setBalancers(2);
  await lab.up();
});
afterAll(() => lab.remove());

const identities = async (...containers: string[]) =>
  Object.fromEntries(
    await Promise.all(
      containers.map(async (name) => [name, (await identity(lab, name)).Id] as const),
    ),
  );

/** A command of the lab's copy. */
async function command(name: string, ...args: string[]): Promise<string> {
  const script = ["--require", "tsx/cjs", `cli/${name}.ts`, ...args, "--stack", lab.stack];
  const { stdout } = await promisify(execFile)(process.execPath, script, { cwd: lab.folder });
  return stdout;
}

/** Does something under load, of which not one GET may be lost; of those that are, HAProxy's own lines. */
async function withoutLoss(work: () => Promise<unknown>): Promise<void> {
  const load = await underLoad(lab, async () => void (await work()), { atLeast: 250 });
  if (load.lost.length > 0) {
    const options = { stdout: true, stderr: true, tail: 60 } as const;
    const logs = balancersOf(lab).map(({ name }) => lab.container(name).logs(options));
    console.log([describeLoad(load), ...(await Promise.all(logs)).map(withoutFrames)].join("\n"));
  }
  expect(load.lost).toEqual([]);
}

/** Until a balancer's container of now is removed. */
async function untilAway(name: string): Promise<void> {
  const { Id } = await identity(lab, name);
  const look = () => lab.host.engine.listContainers({ all: true, filters: { id: [Id] } });
  const left = await poll(look, ({ length }) => length === 0, { everyMs: 5, withinMs: 120_000 });
  expect(left).toEqual([]);
}

test("both run on the previewed text, serve from every node, and agree", async () => {
  expect(await expectAgreement(lab)).toEqual(names(2));
  expect(await command("status")).toMatch(/All agree\.\n$/);
  for (const key of ["statsPort", "secondStatsPort"]) {
    const { status, body } = await get(portOf(lab, key));
    expect(status).toBe(200);
    for (const name of names(2)) expect(body).toContain(`name="nodes/${name}"`);
  }
});

test("a sticky cookie means the same node on both", async () => {
  const url = `http://127.0.0.1:${portOf(lab, "httpPort")}/`;
  const first = await fetch(url);
  const { tag } = (await first.json()) as { tag: string };
  const cookie = first.headers.getSetCookie().map((it) => it.split(";")[0]);
  expect(cookie).toHaveLength(2);
  for (let i = 0; i < 20; i++) {
    // A connection of its own each, so that either balancer may get it.
    const headers = { cookie: cookie.join("; "), connection: "close" };
    const answer = (await (await fetch(url, { headers })).json()) as { tag: string };
    expect(answer.tag).toBe(tag);
  }
  for (const key of ["statsPort", "secondStatsPort"]) {
    const [header, ...rows] = (await get(portOf(lab, key), "/;csv")).body.split("\n");
    const frontend = rows.find((row) => row.startsWith("localnodes,FRONTEND"))!;
    const requests = frontend.split(",")[header.split(",").indexOf("req_tot")];
    expect(Number(requests)).toBeGreaterThan(0);
  }
});

test("one number scales both, and its preview shows a line for each", async () => {
  await lab.configure("nodeCount", 3);
  const preview = await lab.succeed("preview", "--diff", "--stack", lab.stack);
  expect(preview.match(/^ *\+ +server s3 .*$/gm)).toHaveLength(2);
  expect(preview).toMatch(/\+ 1 to create\n\s+~ 2 to update\n\s+3 changes\./);
  const before = await identities("ha", "ha1", "ha2", "s1", "s2");
  await withoutLoss(() => lab.up());
  expect(await expectAgreement(lab)).toEqual(names(3));
  expect(await identities("ha", "ha1", "ha2", "s1", "s2")).toEqual(before);
});

test("a node added by hand joins both, and leaves both", async () => {
  await addByHand(lab, "s9");
  expect(await expectAgreement(lab)).toEqual([...names(3), "s9"]);
  await withoutLoss(() => command("node", "remove", "s9"));
  expect(await expectAgreement(lab)).toEqual(names(3));
  await expect(command("node", "add", "ha1")).rejects.toThrow("ha1 is a balancer's name");
});

test.each(["ha1", "ha2"])(
  "%s killed: the other takes all, and it comes back the same",
  async (name) => {
    // What it had accepted at that moment is lost with it: here there is nothing.
    await lab.container(name).kill();
    await withoutLoss(async () => {
      expect(await command("status").catch((error: { stdout: string }) => error.stdout)).toContain(
        `The balancer ${name} does not run: its container is exited.`,
      );
      await lab.container(name).start();
      await settle(lab);
    });
  },
);

test("refresh shows the drift of each, and up --refresh repairs it", async () => {
  for (const { name } of balancersOf(lab)) {
    const script = `sed -i "s/retries 3/retries 2/" ${CONFIG_PATH}`;
    await inContainer(lab, name, "s6-setuidgid", "haproxy", "sh", "-c", script);
  }
  const args = ["--yes", "--skip-preview", "--diff", "--stack", lab.stack];
  const refreshed = await lab.succeed("refresh", ...args);
  expect(
    refreshed.match(/lab:index:HaproxyConfig: \(update\)|~ lab:index:HaproxyConfig/g),
  ).toHaveLength(2);
  await withoutLoss(() =>
    lab.succeed("up", "--refresh", "--yes", "--skip-preview", "--stack", lab.stack),
  );
  expect(await expectAgreement(lab)).toEqual(names(3));
});

test("a version that does not start stops at the second, and the next update mends it", async () => {
  const before = await identities("ha", "ha1", "ha2");
  await lab.configure("readyTimeout", 8);
  const broken = (text: string) => text.replace("exec at-once", "exec false");
  await lab.withEdit("images/ha/rootfs/etc/s6/haproxy/run", broken, () =>
    withoutLoss(async () => {
      const { code } = await lab.pulumi("up", "--yes", "--skip-preview", "--stack", lab.stack);
      expect(code).not.toBe(0);
    }),
  );
  const after = await identities("ha", "ha1", "ha2");
  expect({ ...after, ha2: before.ha2 }).toEqual(before);
  expect(after.ha2).not.toBe(before.ha2);
  await lab.configure("readyTimeout", 60);
  await withoutLoss(() => lab.up());
  expect(await expectAgreement(lab)).toEqual(names(3));
  expect((await identities("ha1")).ha1).toBe(before.ha1);
});

test.each(["ha2", "ha1"])(
  "an update killed while it replaces %s: the next one begins with that",
  async (name) => {
    await withoutLoss(async () => {
      editHaImage(lab, `${name} killed`);
      await killUp(lab, () => untilAway(name));
      await command("repair");
      editHaImage(lab, `${name} again`);
      await lab.up();
    });
    expect(await expectAgreement(lab)).toEqual(names(3));
  },
);

test("the front restarted: both come back by themselves", async () => {
  await lab.container("ha").restart();
  await eventually(30_000, async () =>
    expect(Object.keys(await runningServers(lab))).toEqual(names(3)),
  );
  expect(await expectAgreement(lab)).toEqual(names(3));
});

test("back to one balancer: its preview says what is replaced, and it serves", async () => {
  await lab.setBalancers(1);
  const preview = await lab.succeed("preview", "--diff", "--stack", lab.stack);
  expect(preview).toMatch(/\+-docker:index\/container:Container: \(replace\)/);
  await lab.up();
  expect(await expectAgreement(lab)).toEqual(names(3));
  expect(await lab.succeed("preview", "--expect-no-changes", "--stack", lab.stack)).toMatch(
    /unchanged/,
  );
});
