/** What an update waits for, with a HAProxy whose health checks end as the test says. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readWorker } from "../../configurator/haproxyProcess";
import { writeNodes } from "../../configurator/nodesFolder";
import { paths } from "../../configurator/paths";
import { findHarmed, waitUntilServing } from "../../configurator/readiness";
import { listServers } from "../../configurator/servers";
import { readDepartures, readPushed, writePushed, type Pushed } from "../../configurator/state";
import { planTopology } from "../../config/topology";
import { FakeHaproxy, type FakeServer } from "../support/fakeHaproxy";
import { renderFor } from "../support/golden";
import { LAB } from "../support/labConfig";

jest.mock("../../configurator/paths", () => ({
  paths: { ...jest.requireActual<{ paths: typeof paths }>("../../configurator/paths").paths },
}));

const PATH = process.env.PATH;
const text = renderFor({ ...LAB, nodeCount: 2 });
const nodes = listServers(text);
/** Health checks so often that none is ever from before. */
const settings = { ...planTopology(LAB).balancers[0].proxy, checkIntervalMs: 0 };
const handMade = { range: "10.20.30.224/27", port: 3000 };
const pushed: Pushed = { template: "", settings, nodes, handMade, containers: {} };

let folder: string;
let haproxy: FakeHaproxy;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "readiness-"));
  haproxy = await FakeHaproxy.start(folder, paths);
  writeFileSync(paths.config, text);
  haproxy.startWorker();
  await writeNodes(paths.nodes, nodes);
});
afterEach(async () => {
  await haproxy.stop();
  rmSync(folder, { recursive: true });
  process.env.PATH = PATH;
});

const set = (name: string, change: Partial<FakeServer>) =>
  Object.assign(haproxy.servers!.get(name)!, change);

const serving = { status: "UP", check: "L7OK" };

/** What a wait says while it lasts, and how it ends; within so many ms. */
async function wait(withinMs: number, during: (line: string) => void = () => undefined) {
  const told: [line: string, waitingFor: string[]][] = [];
  const worker = await readWorker();
  const ended = await waitUntilServing(pushed, worker, Date.now() + withinMs, (...line) => {
    told.push(line);
    during(line[0]);
  }).then(
    () => "all serve",
    (error: Error) => error.message,
  );
  return { told, ended };
}

test("it ends when each node has passed a check, and says who has not", async () => {
  expect(await wait(9000)).toEqual({ told: [], ended: "all serve" });
  set("s1", { status: "DOWN", check: "L4CON" });
  set("s2", { status: "DOWN", check: "L7STS" });
  const course = await wait(9000, (line) =>
    line.includes("s1") ? set("s1", serving) : set("s2", serving),
  );
  expect(course).toEqual({
    told: [
      [expect.stringMatching(/^waiting for s1 \(DOWN, .*\), s2 \(DOWN, .*\)$/), ["s1", "s2"]],
      [expect.stringMatching(/^waiting for s2 \(DOWN, .*\[L7STS\]\)$/), ["s2"]],
    ],
    ended: "all serve",
  });
});

test.each<[string, () => void, RegExp]>([
  [
    "a node that never serves",
    () => set("s2", { status: "DOWN", check: "L4CON" }),
    /^not serving at the deadline: s2 \(DOWN, .*\[L4CON\]\)$/,
  ],
  [
    "a node that HAProxy does not have",
    () => haproxy.servers!.delete("s2"),
    /^not serving at the deadline: s2 \(out of rotation\)$/,
  ],
  [
    "a server that is not let go of",
    () =>
      haproxy.servers!.set("s3", { ...haproxy.servers!.get("s2")!, name: "s3", status: "MAINT" }),
    /^not serving at the deadline: no fresh check yet$/,
  ],
])("at the deadline %s is named", async (_, prepare, ended) => {
  prepare();
  expect((await wait(300)).ended).toMatch(ended);
});

test.each([
  [
    "MAINT",
    "s2 is in maintenance, set by HAProxy's admin CLI; take it back there with: enable server nodes/s2",
  ],
  [
    "DRAIN",
    "s2 is in drain, set by HAProxy's admin CLI; take it back there with: set server nodes/s2 state ready",
  ],
])("a node that the admin CLI keeps in %s is not waited for", async (status, said) => {
  set("s2", { status });
  expect((await wait(60_000)).ended).toBe(`${said}, or run: npx pulumi up --refresh`);
});

test.each<[string, Partial<FakeServer>, string | undefined]>([
  ["goes on", {}, undefined],
  ["fails", { status: "DOWN", check: "L7STS" }, "s2 (DOWN, GET /health answered 503 [L7STS])"],
  ["is not checked in time", { status: "DOWN", check: "INI" }, "s2 (DOWN, not checked yet)"],
])("who served, and under a new worker %s", async (_, change, harmed) => {
  set("s2", change);
  expect(await findHarmed(new Set(["s1", "s2"]), settings, Date.now() + 300)).toBe(harmed);
});

test("HAProxy without an answer is told as that", async () => {
  haproxy.answer = () => "There is no worker.";
  expect(await findHarmed(new Set(["s1"]), settings, Date.now() + 100)).toBe(
    "no answer from HAProxy",
  );
});

describe("what was kept", () => {
  const whole: Pushed = { ...pushed, template: "", statsPasswordHash: `$2b$04$${"x".repeat(53)}` };

  test("comes back as it was", async () => {
    expect(await readPushed()).toBeUndefined();
    await writePushed(whole);
    expect(await readPushed()).toEqual(whole);
    expect(await readDepartures()).toEqual({ left: {}, superseded: {}, absent: [] });
    const departures = { left: { s1: "b1" }, superseded: { s2: "b2" }, absent: ["s1"] };
    writeFileSync(paths.memory, JSON.stringify(departures));
    expect(await readDepartures()).toEqual(departures);
  });

  test("a declaration cut off at any byte is refused by the name of its file", async () => {
    const kept = JSON.stringify(whole);
    for (let bytes = 0; bytes < kept.length; bytes += 7) {
      writeFileSync(paths.declaration, kept.slice(0, bytes));
      await expect(readPushed()).rejects.toThrow(paths.declaration);
    }
  });

  test("departures cut off at any byte are forgotten, and that is said", async () => {
    const said = jest.spyOn(console, "error").mockImplementation(() => undefined);
    const kept = JSON.stringify({ left: { s1: "b1" }, superseded: {}, absent: [] });
    for (let bytes = 0; bytes < kept.length; bytes++) {
      writeFileSync(paths.memory, kept.slice(0, bytes));
      expect(await readDepartures()).toEqual({ left: {}, superseded: {}, absent: [] });
    }
    expect(said).toHaveBeenCalledTimes(kept.length);
    said.mockRestore();
  });

  test.each(["[]", "null", '{"left":[],"superseded":{},"absent":{}}', "7"])(
    "departures that are %s are forgotten",
    async (text) => {
      const said = jest.spyOn(console, "error").mockImplementation(() => undefined);
      writeFileSync(paths.memory, text);
      expect(await readDepartures()).toEqual({ left: {}, superseded: {}, absent: [] });
      expect(said).toHaveBeenCalledTimes(1);
      said.mockRestore();
    },
  );
});
