/** What is left of a lab when its Docker engine ends and starts again. */
import { LabCheckout } from "../support/checkout";
import { addByHand, expectAgreement } from "../support/cluster";
import { NestedEngine, type Ending } from "../support/nestedEngine";
import {
  balancersOf,
  configOnDisk,
  countAnswers,
  eventually,
  get,
  identity,
  names,
  portOf,
  previewed,
  runningServers,
} from "../support/observe";

jest.setTimeout(180_000);

const NODES = names(2);
const MEMBERS = ["ha", ...NODES];
/** How long the lab may take to serve, from when the engine answers. */
const PATIENCE_MS = 60_000;

let nested: NestedEngine | undefined;
let lab: LabCheckout;
beforeAll(async () => {
  nested = await NestedEngine.start("restart", ["debian:trixie-slim"]);
  lab = await LabCheckout.create("e2e-restart", nested);
  await lab.up();
});
afterAll(async () => {
  try {
    await lab?.remove();
  } finally {
    await nested?.remove();
  }
});

/** These first nodes, and no other, are in haproxy.cfg, up for HAProxy and answer through it. */
async function expectServing(nodes: string[]): Promise<void> {
  await eventually(PATIENCE_MS, async () => {
    const servers = Object.entries(await runningServers(lab));
    const serving = servers.filter(([, state]) => state === "UP L7OK").map(([name]) => name);
    // HAProxy lists them as they came.
    expect(serving.sort()).toEqual(nodes);
    expect(Object.keys(await countAnswers(lab, 5 * nodes.length)).sort()).toEqual(nodes);
    expect(await configOnDisk(lab)).toBe(previewed(lab, nodes.length));
  });
}

const identify = () => Promise.all(MEMBERS.map((name) => identity(lab, name)));

test.each<Ending>(["graceful", "reboot", "power"])(
  "engine restarted, %s: the same containers serve again by themselves",
  async (ending) => {
    const before = await identify();
    await nested!.restart(ending);
    await expectServing(NODES);
    for (const [i, name] of NODES.entries()) {
      const { body } = await get(portOf(lab, "nodePorts") + i);
      expect(JSON.parse(body)).toMatchObject({ tag: name });
    }
    for (const [i, { Id, StartedAt }] of (await identify()).entries()) {
      expect(Id).toBe(before[i].Id);
      expect(StartedAt).not.toBe(before[i].StartedAt);
    }
  },
);

test.each<Ending>(["graceful", "power"])(
  "engine restarted, %s: a node that was stopped by hand stays stopped",
  async (ending) => {
    await lab.container("s2").stop();
    await nested!.restart(ending);
    await expectServing(["s1"]);
    expect((await lab.container("s2").inspect()).State.Running).toBe(false);
    await lab.container("s2").start();
    await expectServing(NODES);
  },
);

test("engine restarted: a node added by hand comes back too", async () => {
  await addByHand(lab, "s9");
  expect(await expectAgreement(lab)).toEqual([...NODES, "s9"]);
  await nested!.restart("graceful");
  expect(await expectAgreement(lab)).toEqual([...NODES, "s9"]);
  await lab.container("s9").remove({ force: true });
  await expectServing(NODES);
});

test("engine killed: up --refresh brings the lab back", async () => {
  // The next engine stops the containers that ran on, and counts that as done by hand: none is
  // started again (unless the engine has live-restore; then none is stopped).
  await nested!.restart("kill");
  await lab.succeed("up", "--refresh", "--yes", "--skip-preview", "--stack", lab.stack);
  await expectServing(NODES);
});

test.each<Ending>(["graceful", "power"])(
  "engine restarted, %s: up --refresh starts a balancer that found no front",
  async (ending) => {
    await lab.setBalancers(2);
    await lab.up();
    await nested!.restart(ending);
    // The engine starts all containers at once, and tries a start only once: "cannot join network of a non
    // running container".
    await lab.succeed("up", "--refresh", "--yes", "--skip-preview", "--stack", lab.stack);
    await eventually(PATIENCE_MS, async () => {
      for (const balancer of balancersOf(lab)) {
        expect(await runningServers(lab, balancer)).toEqual({ s1: "UP L7OK", s2: "UP L7OK" });
      }
    });
    expect(await expectAgreement(lab)).toEqual(NODES);
  },
);

test("after all those restarts there is nothing left to do", async () => {
  const args = ["preview", "--refresh", "--expect-no-changes", "--stack", lab.stack];
  expect(await lab.pulumi(...args)).toMatchObject({ code: 0 });
});
