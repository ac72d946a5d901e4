/** The way through the course's tasks, on a lab that is there for it. */
import { setTimeout as delay } from "node:timers/promises";
import type { Browser } from "playwright-core";
import { imageNames } from "../../config/topology";
import { connectDocker } from "../../docker/connect";
import type { LabContainer } from "../../state/inventory";
import { poll, type PollOptions } from "../../time/poll";
import { shootStatsPage } from "../browser";
import { findLab, readCluster } from "../lab";
import { LIST_SERVICES, parseServices } from "../services";
import type { TaskRecord } from "./describe";
import {
  findStart,
  inspect,
  isSettled,
  listNodeFiles,
  listRunning,
  namesOf,
  parseSerfLog,
  readConfig,
  readFrom,
  readLogLines,
  readLogs,
  SERF_LOG,
  type NodeStart,
} from "./evidence";
import type { Output } from "./output";
import type { OwnLab } from "./ownLab";
import { Probe, type Answers } from "./probe";
import type { Task } from "./tasks";

const POLL_MS = 100;
const SETTLED_WITHIN_MS = 60_000;
const FIRST_REQUEST_WITHIN_MS = 5000;

export interface WalkTools {
  lab: OwnLab;
  browser: Browser;
  output: Output;
  signal: AbortSignal;
  say: (line: string) => void;
}

/** The nodes that run before the first task, by which tasks are walked through. */
export const nodesFor = (tasks: Task[]) => (tasks.every(({ number }) => number === 6) ? 4 : 2);

/** Goes through the tasks in their order. */
export async function walk(tasks: Task[], tools: WalkTools): Promise<TaskRecord[]> {
  const probe = new Probe(tools.lab.url);
  try {
    const records: TaskRecord[] = [];
    for (const task of tasks) {
      const { containers } = await findLab(tools.lab.stack);
      const steps = new Steps(task, containers, probe, tools);
      await WALKS[task.number](steps);
      records.push(steps.record);
    }
    return records;
  } finally {
    probe.stop();
  }
}

/** By the task's number. */
const WALKS: ((steps: Steps) => Promise<void>)[] = [
  lookAtTwoNodes,
  killProcesses,
  startInAnyOrder,
  followEvents,
  renderTemplate,
  keepNodeFiles,
  changeUnderLoad,
];

async function lookAtTwoNodes(steps: Steps): Promise<void> {
  await steps.expect("s1", "s2");
  steps.did("`nodeCount` is 2: `npx pulumi up` made the network, the images and three containers.");
  await steps.snapshot("ha, s1, s2");
  await steps.countAnswers("two nodes");
  steps.showAnswers();
  await steps.shoot("stats", "HAProxy's stats page with s1 and s2");
}

async function killProcesses(steps: Steps): Promise<void> {
  const before = await steps.startTimes("ha", "s1");
  const rows: string[][] = [];
  for (const container of ["ha", "s1"]) {
    // The service that watches a front is down where there is none.
    const running = (await steps.services(container)).filter(({ isUp }) => isUp);
    for (const { name } of running) {
      rows.push([container, name, ...(await steps.kill(container, name))]);
    }
  }
  await steps.expect("s1", "s2");
  const after = await steps.startTimes("ha", "s1");
  const header = ["container", "process", "pid before", "pid after", "back after"];
  steps.found({ kind: "table", header, rows });
  const isSame = before.join() === after.join();
  steps.found({
    kind: "text",
    text: isSame
      ? "Both containers ran on meanwhile: Docker has not started them again."
      : "A container was started again meanwhile, which should not be.",
  });
  await steps.snapshot("after each process of ha and s1 was killed");
  await steps.shoot("stats", "HAProxy's stats page afterwards");
}

async function startInAnyOrder(steps: Steps): Promise<void> {
  const orders = [
    ["ha", "s1", "s2"],
    ["s1", "s2", "ha"],
    ["s1", "ha", "s2"],
  ];
  const rows: string[][] = [];
  for (const order of orders) {
    await steps.stop("ha", "s1", "s2");
    for (const name of order) {
      await steps.start(name);
      await steps.awaitAgent(name);
    }
    const last = Date.now();
    await steps.expect("s1", "s2");
    const took = `${((Date.now() - last) / 1000).toFixed(1)} s`;
    const seen = await Promise.all(["ha", "s1", "s2"].map((name) => steps.membersSeenBy(name)));
    rows.push([order.join(", "), took, ...seen.map((names) => names.join(", "))]);
    await steps.snapshot(`started as ${order.join(", ")}`);
  }
  const header = ["order", "all agree after", "ha sees", "s1 sees", "s2 sees"];
  steps.found({ kind: "table", header, rows });
  for (const name of ["ha", "s1", "s2"]) await steps.saveLogs(name, name);
}

async function followEvents(steps: Steps): Promise<void> {
  await steps.alone();
  await steps.snapshot("ha alone");
  await steps.join("s1", "s1");
  await steps.saveLogs("ha", "1-ha-after-s1");
  await steps.snapshot("ha, s1");
  await steps.join("s2", "s1", "s2");
  await steps.saveLogs("ha", "2-ha-after-s2");
  await steps.snapshot("ha, s1, s2");
  for (const name of ["ha", "s1", "s2"]) await steps.saveLogs(name, `3-all-running-${name}`);
  await steps.kill("s2");
  await steps.expect("s1");
  await steps.snapshot("s2 killed");
  await steps.join("s2", "s1", "s2");
  await steps.snapshot("s2 started again");
  await steps.saveSerfLog();
}

async function renderTemplate(steps: Steps): Promise<void> {
  await threeSteps(steps, (step) => steps.saveConfig(step));
  await steps.compareImages();
}

async function keepNodeFiles(steps: Steps): Promise<void> {
  await threeSteps(steps, async (step) => {
    await steps.saveConfig(step);
    await steps.saveNodes(step);
  });
  await steps.saveRunning("3-ha-s1-s2");
  for (const name of ["ha", "s1", "s2"]) await steps.saveInspect(name);
  await steps.stop("s2");
  await steps.expect("s1");
  await steps.snapshot("s2 stopped");
  const step = "4-s2-stopped";
  await steps.saveConfig(step);
  await steps.saveNodes(step);
  await steps.saveRunning(step);
  await steps.join("s2", "s1", "s2");
}

/** ha alone, with s1, with s1 and s2. */
async function threeSteps(steps: Steps, save: (step: string) => Promise<void>): Promise<void> {
  await steps.alone();
  await steps.snapshot("ha alone");
  await save("1-ha");
  await steps.join("s1", "s1");
  await steps.snapshot("ha, s1");
  await save("2-ha-s1");
  await steps.join("s2", "s1", "s2");
  await steps.snapshot("ha, s1, s2");
  await save("3-ha-s1-s2");
}

async function changeUnderLoad(steps: Steps): Promise<void> {
  const moments: [file: string, what: string, change: () => Promise<void>, nodes: string[]][] = [
    ["1-four-nodes", "s1 to s4", () => steps.scaleTo(4), ["s1", "s2", "s3", "s4"]],
    ["2-s3-stopped", "s3 stopped", () => steps.stop("s3"), ["s1", "s2", "s4"]],
    ["3-s4-stopped", "s4 stopped", () => steps.stop("s4"), ["s1", "s2"]],
    ["4-s5-started", "s5 started", () => steps.add("s5"), ["s1", "s2", "s5"]],
    [
      "5-s3-s4-again",
      "s3, s4 started again",
      () => steps.startAll("s3", "s4"),
      ["s1", "s2", "s3", "s4", "s5"],
    ],
  ];
  for (const [file, what, change, nodes] of moments) {
    await change();
    await steps.expect(...nodes);
    await steps.snapshot(what);
    await steps.countAnswers(what);
    await steps.shoot(file, `Stats page: ${what}`);
    await steps.saveRunning(file);
  }
  steps.showAnswers();
}

/** What can be done in a task, and what it leaves in the task's record and folder. */
class Steps {
  readonly record: TaskRecord;
  private readonly began = Date.now();
  private readonly answers: [string, Answers][] = [];

  constructor(
    task: Task,
    private containers: LabContainer[],
    private readonly probe: Probe,
    private readonly tools: WalkTools,
  ) {
    this.record = {
      ...{ task, done: [], snapshots: [], starts: [], findings: [], images: [], files: [] },
    };
    this.say(task.title);
    probe.take();
  }

  did(sentence: string): void {
    this.record.done.push(sentence);
  }

  found(...blocks: TaskRecord["findings"]): void {
    this.record.findings.push(...blocks);
  }

  async stop(...names: string[]): Promise<void> {
    this.say(`stop ${names.join(", ")}`);
    await Promise.all(names.map((name) => this.engineOf(name).stop()));
    this.did(`\`docker stop ${this.containerNames(names)}\``);
  }

  /** @returns when the engine started it, ms */
  async start(name: string): Promise<number> {
    this.say(`start ${name}`);
    await this.engineOf(name).start();
    this.did(`\`docker start ${this.containerNames([name])}\``);
    const { State } = await this.engineOf(name).inspect();
    return Date.parse(State.StartedAt);
  }

  async startAll(...names: string[]): Promise<void> {
    for (const name of names) await this.start(name);
  }

  /** Starts a node and waits until it has answered its first request. */
  async join(name: string, ...nodes: string[]): Promise<void> {
    const started = await this.start(name);
    await this.expect(...nodes);
    await this.recordStart(name, started);
  }

  async alone(): Promise<void> {
    await this.stop("s1", "s2");
    await this.expect();
  }

  /** Adds a node that is not declared. */
  async add(name: string): Promise<void> {
    this.say(`add ${name} by hand`);
    await this.tools.lab.addNode(name);
    this.did(`\`npm run node -- add ${name}\``);
    await this.lookAgain();
    const { State } = await this.engineOf(name).inspect();
    await this.recordStart(name, Date.parse(State.StartedAt));
  }

  async scaleTo(nodeCount: number): Promise<void> {
    const nodes = this.containers.filter(({ role }) => role === "backend");
    if (nodes.length >= nodeCount) return this.did(`\`nodeCount\` is ${nodeCount}.`);
    this.say(`${nodeCount} nodes: npx pulumi up`);
    await this.tools.lab.scale(nodeCount);
    this.did(`\`npx pulumi config set nodeCount ${nodeCount} && npx pulumi up\``);
    await this.lookAgain();
  }

  /** Waits until gossip, /nodes, haproxy.cfg and HAProxy have just these nodes. */
  async expect(...nodes: string[]): Promise<void> {
    await this.waitFor(`${nodes.join(", ") || "no node"} in all places`, async () =>
      isSettled(await readCluster(this.balancer), "ha", nodes),
    );
  }

  async awaitAgent(name: string): Promise<void> {
    await this.waitFor(`gossip agent in ${name}`, async () =>
      (await this.membersSeenBy(name)).includes(name),
    );
  }

  async membersSeenBy(name: string): Promise<string[]> {
    const command = ["serf", "members", "-status=alive", "-format=json"];
    const said = await readFrom(this.container(name), ...command);
    const { members } = JSON.parse(said) as { members: { name: string }[] };
    return members.map((member) => member.name).sort();
  }

  services(name: string) {
    return readFrom(this.container(name), "sh", "-c", LIST_SERVICES).then(parseServices);
  }

  /** Kills a container, or one process in it. @returns pid before and after, and how long it took */
  async kill(name: string, service?: string): Promise<string[]> {
    this.say(`kill ${service === undefined ? name : `${service} in ${name}`}`);
    if (service === undefined) {
      await this.engineOf(name).kill();
      this.did(`\`docker kill ${this.containerNames([name])}\``);
      return [];
    }
    const pidOf = async () => {
      const services = await this.services(name);
      return services.find((it) => it.name === service && it.isUp)?.pid;
    };
    const before = await pidOf();
    const began = Date.now();
    const command = ["s6-svc", "-k", `/etc/s6/${service}`];
    await readFrom(this.container(name), ...command);
    this.did(`\`docker exec ${this.containerNames([name])} ${command.join(" ")}\` (SIGKILL)`);
    let after: number | undefined;
    await this.waitFor(`a new process of ${service}`, async () => {
      after = await pidOf();
      return after !== undefined && after !== before;
    });
    return [String(before), String(after), `${((Date.now() - began) / 1000).toFixed(1)} s`];
  }

  startTimes(...names: string[]): Promise<string[]> {
    return Promise.all(
      names.map((name) =>
        this.engineOf(name)
          .inspect()
          .then(({ State }) => State.StartedAt),
      ),
    );
  }

  async snapshot(step: string): Promise<void> {
    const cluster = await readCluster(this.balancer);
    const [nodes, config] = [await listNodeFiles(this.balancer), await readConfig(this.balancer)];
    this.record.snapshots.push({ step, ...namesOf(cluster), nodes, config });
  }

  /** Takes down which nodes have answered since the last time. */
  async countAnswers(step: string): Promise<void> {
    // At least a few after the change.
    await delay(500, undefined, { signal: this.tools.signal });
    this.answers.push([step, this.probe.take()]);
  }

  showAnswers(): void {
    const header = ["until", "requests", "lost", "answered by"];
    const rows = this.answers.map(([step, { sent, lost, answered }]) => {
      const by = Object.entries(answered)
        .sort()
        .map(([node, count]) => `${node}: ${count}`);
      return [step, String(sent), String(lost), by.join(", ")];
    });
    const text = "A small steady load, each request from a new client:";
    this.found({ kind: "text", text }, { kind: "table", header, rows });
  }

  async compareImages(): Promise<void> {
    const { stack } = this.tools.lab;
    const { namePrefix } = await findLab(stack);
    const { base: baseName, ha, webapp } = imageNames({ namePrefix, stack });
    const names = [baseName, ha, webapp];
    const images = await Promise.all(names.map((name) => connectDocker().getImage(name).inspect()));
    const base = images[0].RootFS?.Layers ?? [];
    const rows = names.map((name, i) => {
      const layers = images[i].RootFS?.Layers ?? [];
      const shared = layers.filter((layer) => base.includes(layer)).length;
      return [
        name,
        `${Math.round(images[i].Size / 1e6)} MB`,
        String(layers.length),
        String(shared),
      ];
    });
    const text =
      "The images share the base's layers, which are stored once (`docker history IMAGE`):";
    const header = ["image", "size", "layers", "of these in the base"];
    this.found({ kind: "text", text }, { kind: "table", header, rows });
  }

  async shoot(name: string, title: string): Promise<void> {
    this.say(`screenshot: ${title}`);
    const { browser, lab } = this.tools;
    const file = this.save(`${name}.png`, await shootStatsPage(browser, lab.statsUrl));
    this.record.images.push({ file, title });
  }

  /** What a container has logged since the task began. */
  async saveLogs(name: string, as: string): Promise<void> {
    this.save(`${as}.log`, await readLogs(this.container(name), this.began));
  }

  async saveSerfLog(): Promise<void> {
    const log = await readFrom(this.balancer, "cat", SERF_LOG);
    this.save("serf.log", log);
    const header = ["time", "event", "member", "role"];
    const text = `What gossip said to \`ha\`, in \`${SERF_LOG}\`:`;
    this.found(
      { kind: "text", text },
      { kind: "table", header, rows: parseSerfLog(log, this.began) },
    );
  }

  async saveConfig(step: string): Promise<void> {
    this.save(`${step}.haproxy.cfg`, await readConfig(this.balancer));
  }

  async saveNodes(step: string): Promise<void> {
    const nodes = await listNodeFiles(this.balancer);
    this.save(`${step}.nodes.txt`, nodes.map((name) => `${name}\n`).join(""));
  }

  async saveRunning(step: string): Promise<void> {
    this.save(`${step}.docker-ps.txt`, await listRunning(this.containers));
  }

  async saveInspect(name: string): Promise<void> {
    this.save(`inspect-${name}.json`, await inspect(this.container(name)));
  }

  private save(name: string, content: string | Buffer): string {
    const file = `logs/task ${this.record.task.number}/${name}`;
    this.record.files.push(file);
    return this.tools.output.save(file, content);
  }

  private async recordStart(name: string, started: number): Promise<void> {
    const look = async () => {
      const logs = [this.balancer, this.container(name)].map((it) => readLogLines(it, started));
      return findStart(name, started, ...((await Promise.all(logs)) as [never, never]));
    };
    const hasAnswered = ({ answered }: NodeStart) => answered !== undefined;
    const options = this.pollOptions(FIRST_REQUEST_WITHIN_MS);
    this.record.starts.push(await poll(look, hasAnswered, options));
  }

  private async waitFor(what: string, isTrue: () => Promise<boolean>): Promise<void> {
    // A process that is being restarted does not answer.
    const last = await poll(
      () => isTrue().catch((error: Error) => error),
      (seen) => seen === true,
      this.pollOptions(SETTLED_WITHIN_MS),
    );
    if (last === true) return;
    const waited = `${what} awaited for ${SETTLED_WITHIN_MS / 1000} s`;
    const problem = last ? last.message : "not so yet";
    throw new Error(`task ${this.record.task.number}: ${waited}: ${problem}`);
  }

  private pollOptions(withinMs: number): PollOptions {
    return { everyMs: POLL_MS, withinMs, signal: this.tools.signal };
  }

  private async lookAgain(): Promise<void> {
    this.containers = (await findLab(this.tools.lab.stack)).containers;
  }

  private get balancer(): LabContainer {
    return this.container("ha");
  }

  private container(name: string): LabContainer {
    return this.containers.find((it) => it.name === name)!;
  }

  private engineOf(name: string) {
    return connectDocker().getContainer(this.container(name).id);
  }

  private containerNames(names: string[]): string {
    return names.map((name) => this.container(name).containerName).join(" ");
  }

  private say(what: string): void {
    this.tools.signal.throwIfAborted();
    this.tools.say(`task ${this.record.task.number}: ${what}`);
  }
}
