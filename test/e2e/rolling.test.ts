/** A changed web image goes through the nodes group by group; a changed balancer image comes last. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TEMPLATE } from "../../components/haproxyConfig";
import { LabCheckout } from "../support/checkout";
import { expectAgreement } from "../support/cluster";
import { underLoad } from "../support/load";
import { LONG } from "../support/long";
import { configOnDisk, get, identity, names, portOf, runningServers } from "../support/observe";

jest.setTimeout(300_000);

const SERVER = "images/webapp/src/server.ts";
const TOPOLOGY = "config/topology.ts";
const APP = "images/webapp/src/app.ts";

let lab: LabCheckout;
beforeAll(async () => {
  lab = await LabCheckout.create("e2e-roll");
  await lab.up();
});
afterAll(() => lab.remove());

/** Changes a source in the lab's own copy of the checkout. */
function edit(file: string, from: string | RegExp, to: string): void {
  const path = join(lab.folder, file);
  const before = readFileSync(path, "utf8");
  expect(before).toMatch(from);
  writeFileSync(path, before.replace(from, to));
}

const greeting = (hello: string) => edit(APP, /hello: "\w+"/, `hello: "${hello}"`);
const upArgs = () => ["up", "--yes", "--skip-preview", "--stack", lab.stack];

/** What each node answers by itself. */
async function greetings(nodes: string[]): Promise<string[]> {
  const ports = nodes.map((name) => portOf(lab, "nodePorts") + Number(name.slice(1)) - 1);
  const answers = await Promise.all(ports.map((port) => get(port)));
  return answers.map(({ body }) => (JSON.parse(body) as { hello: string }).hello);
}

const sizes = [
  [6, 4],
  [2, 4],
  [6, 2],
];

test.each(LONG ? sizes : sizes.slice(0, 1))(
  "%i nodes in %i steps: every node is new, no request is lost",
  async (nodeCount, steps) => {
    await lab.configure("rollingSteps", steps);
    await lab.scale(nodeCount);
    const hello = `roll${nodeCount}in${steps}`;
    greeting(hello);
    const { sent, lost } = await underLoad(lab, async () => void (await lab.up()));
    console.log(`${nodeCount} nodes in ${steps} steps: ${sent} requests sent, ${lost.length} lost`);
    expect(lost).toEqual([]);
    expect(await expectAgreement(lab)).toEqual(names(nodeCount));
    expect(await greetings(names(nodeCount))).toEqual(Array(nodeCount).fill(hello));
  },
);

test("a version that never serves stops the roll; the others go on, the next good one heals", async () => {
  await lab.configure("rollingSteps", 4);
  await lab.scale(3);
  const [, ...untouched] = await Promise.all(names(3).map((name) => identity(lab, name)));
  const broken = 'throw new Error("never starts");\n';
  edit(SERVER, "const app =", `${broken}const app =`);
  const first = await underLoad(lab, async () => {
    for (const attempt of [1, 2]) {
      const { code, output } = await lab.pulumi(...upArgs());
      expect({ attempt, code }).toEqual({ attempt, code: 1 });
      expect(output).toMatch(
        /group1 .*\n.*error: s1's application ends again and again: exitcode 1; it said: Error: never starts; see: docker logs \S+-s1\n/,
      );
    }
  });
  expect(first.lost).toEqual([]);
  expect(await Promise.all(["s2", "s3"].map((name) => identity(lab, name)))).toEqual(untouched);
  expect(await runningServers(lab)).toMatchObject({ s2: "UP L7OK", s3: "UP L7OK" });
  edit(SERVER, broken, "");
  greeting("healed");
  const second = await underLoad(lab, async () => void (await lab.up()));
  expect(second.lost).toEqual([]);
  expect(await expectAgreement(lab)).toEqual(names(3));
  expect(await greetings(names(3))).toEqual(["healed", "healed", "healed"]);
});

test("a version that needs another health check gets it, if that is for all nodes", async () => {
  await lab.configure("readyTimeout", 10);
  await lab.scale(3);
  const expectStopped = async (error: RegExp) => {
    const { code, output } = await lab.pulumi(...upArgs());
    expect({ code, output }).toMatchObject({
      code: 1,
      output: expect.stringMatching(error) as string,
    });
    expect(await runningServers(lab)).toMatchObject({ s2: "UP L7OK", s3: "UP L7OK" });
    expect(await configOnDisk(lab)).toContain("GET uri /health\n");
  };
  edit(APP, 'app.get("/health"', 'app.get("/alive"');
  await expectStopped(/s1 \(DOWN, GET \/health answered 404 \[L7STS\]\)/);
  edit(TOPOLOGY, 'HEALTH_PATH = "/health"', 'HEALTH_PATH = "/alive"');
  await expectStopped(
    /as it was: s[23] \([^,]+, GET \/alive answered 404 \[L7STS\]\); let the new/,
  );
  edit(TEMPLATE, "uri {{settings.healthPath}}", "uri /");
  const { lost } = await underLoad(lab, async () => void (await lab.up()));
  expect(lost).toEqual([]);
  expect(await expectAgreement(lab)).toEqual(names(3));
  expect(await configOnDisk(lab)).toContain("GET uri /\n");
});

test("a changed base image: the nodes first, then the balancer, which is away for a moment", async () => {
  await lab.scale(3);
  edit("images/base/rootfs/etc/s6/.s6-svscan/finish", "exit 0", "# edited\nexit 0");
  const before = await identity(lab, "ha");
  const output = await lab.succeed(...upArgs());
  const done = [...output.matchAll(/Container (\w+) created replacement/g)].map(([, name]) => name);
  expect(done.at(-1)).toBe("ha");
  expect([...done].sort()).toEqual(["ha", "s1", "s2", "s3"]);
  expect((await identity(lab, "ha")).Id).not.toBe(before.Id);
  expect(await expectAgreement(lab)).toEqual(names(3));
});
