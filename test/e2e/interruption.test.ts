import { execFile } from "node:child_process";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { STACK_LABEL } from "../../config/topology";
import { runInContainer } from "../../docker/exec";
import { listProcesses, type Process } from "../../state/processes";
import { poll } from "../../time/poll";
import { LabCheckout, engine } from "../support/checkout";
import { LONG } from "../support/long";

/**
 * Updates that are cut off at any moment. Each has a seed, from which all that is random about it
 * follows, and the same ones in every run; `INTERRUPTION_SEEDS=17,42 npx jest …` tries just these again.
 */
const INTERRUPTIONS = LONG ? 20 : 2;
const seeds = process.env.INTERRUPTION_SEEDS?.split(",").map(Number);
const firstSeed = seeds?.[0] ?? 7;

const VICTIMS = {
  cli: /toolchain\/pulumi up/,
  program: /bundles\/run\.cjs/,
  docker: /pulumi-resource-docker/,
  lab: /pulumi-resource-lab/,
};
type Victim = keyof typeof VICTIMS;

/** A provider has to be gone so long after its CLI. */
const PROVIDERS_END_MS = 15_000;

jest.setTimeout(600_000);

let lab: LabCheckout;
beforeAll(async () => {
  lab = await LabCheckout.create("e2e-interrupt");
  await lab.up();
});
afterAll(() => lab.remove());

/** What is done to one update. */
interface Interruption {
  seed: number;
  victim: Victim;
  /** One kill -9, or so many Ctrl-C. */
  how: "kill" | 1 | 2;
  /** When in the victim's life: 0 its begin, 1 its end in an undisturbed update. */
  moment: number;
  change: "scale" | "image";
  /** Whether the next update goes back to what was before. */
  undo: boolean;
}

function chooseInterruption(seed: number): Interruption {
  const random = createRandom(seed);
  const choose = <T>(values: T[]): T => values[Math.floor(random() * values.length)];
  const victim = choose<Victim>(["cli", "cli", "program", "docker", "docker", "lab"]);
  const how = victim === "cli" ? choose<Interruption["how"]>(["kill", "kill", 1, 2]) : "kill";
  // Seeds follow each other, so that every run of this file has some of both.
  const change = seed % 7 === 0 ? "image" : "scale";
  return { seed, victim, how, moment: 0.9 * random(), change, undo: random() < 0.4 };
}

/** mulberry32: small, and the same everywhere. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A process and all that it started. */
function listFamily(root: number): Process[] {
  const all = listProcesses();
  const family = all.filter(({ pid }) => pid === root);
  for (const { pid } of family) family.push(...all.filter(({ parent }) => parent === pid));
  return family;
}

const is = (victim: Victim, { command }: Process) => VICTIMS[victim].test(command.join(" "));

/** When each victim came and went in an update that nobody disturbed, ms from its start. */
type Lives = Record<Victim, { from: number; to: number }>;

function startUpdate() {
  const child = lab.startUpdate("pipe");
  let output = "";
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  }
  const update = { pid: child.pid!, over: false, start: Date.now(), output: () => output };
  child.on("exit", () => (update.over = true));
  return update;
}

async function rehearse(): Promise<Lives> {
  const update = startUpdate();
  const seen = {} as Lives;
  while (!update.over) {
    const now = Date.now() - update.start;
    const family = listFamily(update.pid);
    for (const victim of Object.keys(VICTIMS) as Victim[]) {
      if (!family.some((member) => is(victim, member))) continue;
      seen[victim] ??= { from: now, to: now };
      seen[victim].to = now;
    }
    await sleep(20);
  }
  return seen;
}

/** Starts an update and does to it what is planned. @returns whether it was still running */
async function interrupt({ victim, how, moment }: Interruption, rehearsed: Lives) {
  const { from, to } = rehearsed[victim];
  const update = startUpdate();
  const find = () => listFamily(update.pid).find((member) => is(victim, member));
  const until = async (condition: () => boolean) => {
    while (!update.over && !condition()) await sleep(5);
  };
  await until(() => find() !== undefined);
  await sleep(moment * (to - from));
  const family = listFamily(update.pid);
  const target = find();
  const hit = !update.over && target !== undefined;
  if (hit && how === "kill") process.kill(target.pid, "SIGKILL");
  for (let i = 0; hit && i < Number(how) && !update.over; i++) {
    process.kill(-update.pid, "SIGINT");
    await sleep(300);
  }
  const begun = Date.now();
  await until(() => Date.now() - begun > 90_000);
  expect(update.over).toBe(true);
  return { hit, family, output: update.output() };
}

/** Who of these is still there after some time. */
async function awaitEnd(family: Process[], withinMs: number): Promise<Process[]> {
  const pids = new Set(family.map(({ pid }) => pid));
  const look = async () => listProcesses().filter(({ pid }) => pids.has(pid));
  return poll(look, (left) => left.length === 0, { everyMs: 50, withinMs });
}

/** Asks the balancer all the time, each request on a fresh connection. */
class Client {
  sent = 0;
  readonly lost: string[] = [];
  private running = true;
  private readonly ended = this.run();

  private async run(): Promise<void> {
    while (this.running) {
      this.sent++;
      await get(lab.config.httpPort as number).catch((error: Error) =>
        this.lost.push(`${new Date().toISOString()} ${error.message}`),
      );
      await sleep(20);
    }
  }

  async stop(): Promise<void> {
    this.running = false;
    await this.ended;
  }
}

function get(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", port, agent: false, timeout: 5000 });
    sent.on("timeout", () => sent.destroy(new Error("no answer within 5 s")));
    sent.on("error", reject).on("response", (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
      response.on("end", () =>
        response.statusCode === 200
          ? resolve(body)
          : reject(new Error(`${response.statusCode} ${body}`)),
      );
    });
    sent.end();
  });
}

/** `npm run repair` in the copy. */
async function repair(): Promise<string> {
  const args = ["--require", "tsx/cjs", "cli/repair.ts", "--stack", lab.stack];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: lab.folder });
  return stdout;
}

const names = (count: number) => Array.from({ length: count }, (_, i) => `s${i + 1}`);

/** Changes what the application answers, and so the nodes' image. */
function editApplication(greeting: string): void {
  const source = join(lab.folder, "images/webapp/src/app.ts");
  const text = readFileSync(source, "utf8");
  writeFileSync(source, text.replace(/hello: "[^"]*"/, `hello: "${greeting}"`));
}

/** The containers of the lab on the engine, by name inside the lab. */
async function listLab() {
  const filters = { label: [`${STACK_LABEL}=${lab.stack}`] };
  const found = await engine.listContainers({ all: true, filters });
  const prefix = `/${lab.config.namePrefix}`;
  return found
    .map(({ Id, Names, State }) => ({ name: Names[0].replace(prefix, ""), id: Id, state: State }))
    .sort((a, b) => a.name.localeCompare(b.name));
}

async function identify(containers: string[]) {
  return Promise.all(
    containers.map(async (name) => {
      const { Id, State, RestartCount } = await lab.container(name).inspect();
      return { name, Id, StartedAt: State.StartedAt, RestartCount };
    }),
  );
}

interface State {
  deployment: { resources: { type: string; id?: string }[]; pending_operations?: unknown[] };
}

/** Engine, state, haproxy.cfg and the program agree on these nodes, and each answers. */
async function expectCluster(nodeCount: number, greeting: string): Promise<void> {
  const nodes = names(nodeCount);
  const containers = await listLab();
  const running = (name: string) => expect.objectContaining({ name, state: "running" }) as unknown;
  expect(containers).toEqual(["ha", ...nodes].map(running));
  const exported = await lab.succeed("stack", "export", "--stack", lab.stack);
  const { deployment } = JSON.parse(exported) as State;
  const recorded = deployment.resources.filter(({ type }) => type.endsWith(":Container"));
  expect(recorded.map(({ id }) => id).sort()).toEqual(containers.map(({ id }) => id).sort());
  expect(deployment.pending_operations ?? []).toEqual([]);
  const file = "/usr/local/etc/haproxy/haproxy.cfg";
  const { stdout } = await runInContainer(lab.container("ha"), ["cat", file]);
  expect([...stdout.matchAll(/^ +server (s\d+) /gm)].map(([, name]) => name)).toEqual(nodes);
  for (const [i, name] of nodes.entries()) {
    const answer = await get((lab.config.nodePorts as number) + i);
    expect(JSON.parse(answer)).toMatchObject({ tag: name, hello: greeting });
  }
  const preview = ["preview", "--expect-no-changes", "--stack", lab.stack];
  expect(await lab.pulumi(...preview)).toMatchObject({ code: 0 });
}

const HINT = "An update of this lab was interrupted. Run: npm run repair";
const hasLock = () => {
  const folder = `.pulumi-state/.pulumi/locks/organization/dynamic-scaling-lab/${lab.stack}`;
  return readdirSync(join(lab.folder, folder)).some((name) => name.endsWith(".json"));
};

test("an update cut off anywhere: the lab serves, and the next one completes", async () => {
  let nodeCount = 4;
  let greeting = "world";
  await lab.configure("nodeCount", nodeCount);
  const rehearsed = await rehearse();
  await expectCluster(nodeCount, greeting);

  const total = { sent: 0, lost: 0, hits: 0 };
  const isDone = (attempt: number) =>
    seeds ? attempt === seeds.length : total.hits === INTERRUPTIONS || attempt === 30;
  for (let attempt = 0; !isDone(attempt); attempt++) {
    const plan = chooseInterruption(seeds?.[attempt] ?? firstSeed + attempt);
    const before = { nodeCount, greeting };
    if (plan.change === "image") greeting = `world ${plan.seed}`;
    else nodeCount = 6 - nodeCount;
    const kept = await identify(["ha", "s1", "s2"]);
    editApplication(greeting);
    await lab.configure("nodeCount", nodeCount);

    const client = new Client();
    const steps: string[] = [];
    try {
      const { hit, family, output } = await interrupt(plan, rehearsed);
      steps.push(output);
      if (hit) total.hits++;
      const providers = family.filter((member) => is("docker", member) || is("lab", member));
      expect(await awaitEnd(providers, PROVIDERS_END_MS)).toEqual([]);
      const interrupted = hasLock();
      if (interrupted) expect(await lab.succeed("stack", "ls")).toContain(HINT);
      const repaired = await repair();
      steps.push(repaired);
      expect(await awaitEnd(family, 1000)).toEqual([]);
      if (interrupted) {
        expect(repaired).toMatch(/^Removed the lock of process \d+/m);
        expect(await repair()).toMatch(/^Nothing to repair/);
        expect(await lab.succeed("stack", "ls")).not.toContain(HINT);
      }
      if (plan.undo) {
        ({ nodeCount, greeting } = before);
        editApplication(greeting);
        await lab.configure("nodeCount", nodeCount);
      }
      steps.push(await lab.up());
      await client.stop();
      await expectCluster(nodeCount, greeting);
      if (plan.change === "scale") {
        expect(await identify(["ha", "s1", "s2"])).toEqual(kept);
        expect(client.lost).toEqual([]);
      }
      total.sent += client.sent;
      total.lost += client.lost.length;
      report(plan, hit, client, repaired);
    } catch (error) {
      process.stdout.write(`failed: ${JSON.stringify(plan)}\n${steps.join("\n")}\n`);
      throw error;
    } finally {
      await client.stop();
    }
  }
  process.stdout.write(`interruptions from seed ${firstSeed}: ${JSON.stringify(total)}\n`);
  if (!seeds) expect(total.hits).toBe(INTERRUPTIONS);
});

function report(plan: Interruption, hit: boolean, client: Client, repaired: string): void {
  const { seed, victim, how, moment, change, undo } = plan;
  const what = how === "kill" ? `kill -9 of ${victim}` : `${how} × Ctrl-C`;
  const when = `at ${Math.round(100 * moment)} %${hit ? "" : " (missed)"}`;
  const done = repaired
    .split("\n")
    .filter((line) => /^(Removed|Ended|Clearing|Nothing)/.test(line));
  const requests = `${client.sent} sent, ${client.lost.length} lost`;
  const then = `${change}${undo ? ", undone" : ""}: ${requests}`;
  process.stdout.write(`${[`seed ${seed}: ${what} ${when}, ${then}`, ...done].join("\n  ")}\n`);
}
