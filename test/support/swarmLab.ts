/** A lab on a Swarm of machines of its own, and the faults that such a lab has to bear under load. */
import { deepStrictEqual } from "node:assert";
import { execFile } from "node:child_process";
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import type Docker from "dockerode";
import { runInContainer, withoutFrames } from "../../docker/exec";
import { connectMachine, listMachines, type Machine } from "../../machines/machines";
import { engine as outer, LabCheckout, type Outcome } from "./checkout";
import { underLoads, type LoadResult } from "./load";
import { expectNoMachines, findTask, onSwarm, portOf, runMachines } from "./machines";
import { CONFIG_PATH, eventually, names, previewed } from "./observe";

const MACHINES = 3;
/** Until Swarm has noticed a dead machine and its nodes run elsewhere. */
const RESCHEDULED_WITHIN_MS = 120_000;
const AGREED_WITHIN_MS = 60_000;
/** An engine's longest time between two reports to the managers, with Docker's own jitter. */
const REPORTED_WITHIN_MS = 6000;

/** What of a machine's entry in the Swarm is read and changed. */
interface SwarmNode {
  ID: string;
  Version: { Index: number };
  Spec: { Availability: "active" | "pause" | "drain"; Role: "manager" | "worker" };
  Description: { Hostname: string };
  /** Of a manager. */
  ManagerStatus?: { Reachability: string };
}

export class SwarmLab {
  /** Whose Docker API is asked. */
  private asked: Machine;

  private constructor(
    readonly machines: Machine[],
    readonly lab: LabCheckout,
  ) {
    [this.asked] = machines;
  }

  /** Makes the machines and deploys the lab, with two nodes. @throws if there are machines already */
  static async create(stack: string): Promise<SwarmLab> {
    await expectNoMachines();
    try {
      await runMachines([], `${MACHINES}`);
      const machines = await listMachines();
      const lab = await LabCheckout.create(stack, onSwarm(machines));
      await lab.up();
      lab.config.nodeCount = 2;
      return new SwarmLab(machines, lab);
    } catch (error) {
      await runMachines([], "down");
      throw error;
    }
  }

  /** Takes the lab and the machines away. */
  async remove(): Promise<void> {
    try {
      await this.lab.remove();
    } finally {
      await runMachines(this.machines, "down");
    }
  }

  get manager(): Docker {
    return connectMachine(this.asked);
  }

  /** From now on the program, the commands and the tests ask this machine. */
  ask(machine: Machine): void {
    this.asked = machine;
    this.lab.host.dockerHost = machine.dockerHost;
  }

  /** A service's name on the Swarm. */
  service(name: string): string {
    return `${this.lab.config.namePrefix}${name}`;
  }

  /** Runs a command of the lab's copy. */
  async command(name: string, ...args: string[]): Promise<Outcome> {
    const script = ["--require", "tsx/cjs", `cli/${name}.ts`, ...args, "--stack", this.lab.stack];
    const env = { ...process.env, DOCKER_HOST: this.asked.dockerHost };
    const options = { cwd: this.lab.folder, env };
    try {
      const { stdout } = await promisify(execFile)(process.execPath, script, options);
      return { code: 0, output: stdout };
    } catch (error) {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
      return { code, output: stdout + stderr };
    }
  }

  /** So many nodes, whatever was before. */
  async startWith(nodeCount: number): Promise<void> {
    if (this.lab.config.nodeCount !== nodeCount) await this.scale(nodeCount);
    await this.agrees();
  }

  async scale(nodeCount: number): Promise<void> {
    this.lab.config.nodeCount = nodeCount;
    await this.lab.scale(nodeCount);
  }

  /** Waits until every balancer on these machines runs on the previewed text, and status agrees. */
  async agrees(on = this.machines): Promise<void> {
    const nodeCount = Number(this.lab.config.nodeCount);
    await eventually(AGREED_WITHIN_MS, async () => {
      const { code, output } = await this.command("status");
      const serving = [...output.matchAll(/^(s\d+) .* UP +L7OK +running /gm)];
      deepStrictEqual(
        { code, serving: serving.map(([, name]) => name) },
        { code: 0, serving: names(nodeCount) },
        output,
      );
      const texts = on.map(async (machine) => {
        const balancer = await findTask(machine, this.service("ha"));
        if (balancer === undefined) return "no balancer";
        const look = runInContainer(balancer, ["cat", CONFIG_PATH], { user: "haproxy" });
        return (await look).stdout;
      });
      const text = previewed(this.lab, nodeCount);
      deepStrictEqual(
        await Promise.all(texts),
        on.map(() => text),
      );
    });
  }

  /** Which container each node runs in, after the name of its machine; `nowhere` for one that does not. */
  async readTasks(): Promise<Record<string, string>> {
    const all = names(Number(this.lab.config.nodeCount)).map(async (name) => {
      for (const machine of this.machines) {
        const task = await findTask(machine, this.service(name)).catch(() => undefined);
        if (task) return [name, `${machine.name} ${task.id}`];
      }
      return [name, "nowhere"];
    });
    return Object.fromEntries(await Promise.all(all)) as Record<string, string>;
  }

  /** Waits until no node is on a machine any more, and each is on another. */
  async leaves({ name }: Machine): Promise<void> {
    await eventually(RESCHEDULED_WITHIN_MS, async () => {
      const tasks = Object.values(await this.readTasks());
      const left = tasks.filter((task) => task === "nowhere" || task.startsWith(`${name} `));
      deepStrictEqual(left, []);
    });
  }

  /** How haproxy.cfg was applied in the balancer on each machine since then. */
  async readApplies(since: number): Promise<string[]> {
    const logs = this.machines.map(async (machine) => {
      const options = { stdout: true, stderr: true, since: Math.floor(since / 1000) } as const;
      const balancer = (await findTask(machine, this.service("ha")))!;
      const text = withoutFrames(await balancer.logs(options));
      return [...text.matchAll(/applied by (\w+(?: \w+)?) in /g)].map(([, way]) => way);
    });
    return (await Promise.all(logs)).flat();
  }

  /** How the machines stand in the Swarm. */
  async listNodes(): Promise<SwarmNode[]> {
    return (await this.manager.listNodes()) as SwarmNode[];
  }

  /** Changes how a machine stands in the Swarm. */
  async setMachine(name: string, change: Partial<SwarmNode["Spec"]>): Promise<void> {
    const nodes = await this.listNodes();
    const { ID, Version, Spec } = nodes.find((node) => node.Description.Hostname === name)!;
    await this.manager.getNode(ID).update({ version: Version.Index, ...Spec, ...change });
  }

  /**
   * How often engines report to the managers; one that misses three is down. An engine hears of it with the answer to its
   * next report, and nothing shows when it has.
   *
   * @param seconds Docker's default is 5
   */
  async setHeartbeat(seconds: number): Promise<void> {
    const { Version, Spec } = (await this.manager.swarmInspect()) as {
      Version: { Index: number };
      Spec: { Dispatcher: object };
    };
    const Dispatcher = { ...Spec.Dispatcher, HeartbeatPeriod: seconds * 1e9 };
    const _query = { version: Version.Index };
    await this.manager.swarmUpdate({ _query, _body: { ...Spec, Dispatcher } });
    await delay(REPORTED_WITHIN_MS);
  }

  /** `npm run machines` in this lab's terminal. */
  runMachines(...args: string[]): Promise<string> {
    return runMachines(this.machines, ...args);
  }

  /** Cuts a machine off from the others, or ends that. This host reaches it all the time. */
  async part({ name }: Machine, isParted: boolean): Promise<void> {
    const others = this.machines.filter((machine) => machine.name !== name);
    const change = isParted ? "-I" : "-D";
    const rules = others.flatMap(({ address }) => [
      `iptables ${change} INPUT -s ${address} -j DROP`,
      `iptables ${change} OUTPUT -d ${address} -j DROP`,
    ]);
    await this.inMachine({ name }, rules.join("\n"));
  }

  /** Runs a script beside a machine's engine. @throws what it said, if it failed */
  async inMachine({ name }: Pick<Machine, "name">, script: string): Promise<void> {
    const command = ["sh", "-ec", script];
    const { exitCode, stderr } = await runInContainer(outer.getContainer(name), command);
    if (exitCode !== 0) throw new Error(stderr);
  }

  /** Load at the ports of these machines while something is done. */
  load(work: () => Promise<unknown>, on = this.machines): Promise<LoadResult[]> {
    const ports = on.map(({ url }) => portOf(url));
    const options = { rate: 25, postRate: 0, atLeast: 100 };
    return underLoads(ports, async () => void (await work()), options);
  }
}

/** Something that goes wrong, or is done, on a Swarm. It begins and ends with 4 nodes and all agreed. */
export interface SwarmFault {
  name: string;
  /** Numbers, from 0, of the machines whose own clients have nobody left to ask meanwhile. */
  spares: number[];
  /** What is done before it, without load. */
  prepare?: (swarm: SwarmLab) => Promise<unknown>;
  /** What is done under load; it ends when all nodes serve again at the other machines' ports. */
  run: (swarm: SwarmLab) => Promise<void>;
  /** What is done after it, without load. */
  heal?: (swarm: SwarmLab) => Promise<unknown>;
}

const others = ({ machines }: SwarmLab, ...numbers: number[]) =>
  machines.filter((_machine, i) => !numbers.includes(i));

async function killEngine(swarm: SwarmLab): Promise<void> {
  await swarm.runMachines("kill", "3");
  await swarm.leaves(swarm.machines[2]);
  await swarm.agrees(others(swarm, 2));
}

export const SWARM_FAULTS: SwarmFault[] = [
  {
    name: "a node killed",
    spares: [],
    async run(swarm) {
      const { s1 } = await swarm.readTasks();
      const [where, id] = s1.split(" ");
      const machine = swarm.machines.find(({ name }) => name === where)!;
      await connectMachine(machine).getContainer(id).kill();
      await eventually(30_000, async () => {
        const now = (await swarm.readTasks()).s1;
        deepStrictEqual([now === s1, now === "nowhere"], [false, false]);
      });
      await swarm.agrees();
    },
  },
  {
    name: "an engine drained",
    spares: [1],
    async run(swarm) {
      const drained = swarm.machines[1];
      await swarm.setMachine(drained.name, { Availability: "drain" });
      await swarm.leaves(drained);
      await swarm.agrees(others(swarm, 1));
    },
    heal: (swarm) => swarm.setMachine(swarm.machines[1].name, { Availability: "active" }),
  },
  {
    name: "a machine cut off, and back",
    // Back, its balancer is another task: its port is closed meanwhile.
    spares: [2],
    async run(swarm) {
      const [first, second, third] = swarm.machines;
      // Its clients get nothing but 503 otherwise.
      const own = Object.values(await swarm.readTasks()).filter((it) => it.startsWith(third.name));
      deepStrictEqual(own.length > 0, true, `${third.name} has no node of its own`);
      await swarm.part(third, true);
      // It goes on with its own nodes, which the others have once more.
      await eventually(RESCHEDULED_WITHIN_MS, async () => {
        const here = names(4).map(async (name) => {
          const found = [first, second].map((it) => findTask(it, swarm.service(name)));
          return (await Promise.all(found)).some((task) => task !== undefined);
        });
        deepStrictEqual(await Promise.all(here), [true, true, true, true]);
      });
      await swarm.agrees([first, second]);
      deepStrictEqual((await fetch(third.url)).status, 200);
      await swarm.part(third, false);
      await swarm.agrees();
    },
  },
  {
    name: "an engine killed",
    spares: [2],
    run: killEngine,
    heal: (swarm) => swarm.runMachines("start", "3"),
  },
  {
    name: "an engine killed, with a heartbeat of 1 s",
    spares: [2],
    prepare: (swarm) => swarm.setHeartbeat(1),
    run: killEngine,
    async heal(swarm) {
      await swarm.setHeartbeat(5);
      await swarm.runMachines("start", "3");
    },
  },
  {
    name: "the manager killed",
    spares: [0],
    async run(swarm) {
      await swarm.runMachines("kill", "1");
      const { code, output } = await swarm.lab.pulumi(
        ...["up", "--yes", "--skip-preview", "--stack", swarm.lab.stack],
      );
      const isNamed = /Docker engine at tcp:\/\/127\.0\.0\.1:\d+/.test(output);
      deepStrictEqual({ isDone: code === 0, isNamed }, { isDone: false, isNamed: true }, output);
    },
    heal: (swarm) => swarm.runMachines("start", "1"),
  },
  {
    name: "the web image rolled",
    spares: [],
    async run(swarm) {
      appendFileSync(join(swarm.lab.folder, "images/webapp/Dockerfile"), "LABEL rolled=1\n");
      await swarm.lab.up();
      await swarm.agrees();
    },
  },
];

/** Does a fault under load at the other machines, heals it and waits until all agree. */
export async function trySwarmFault(
  swarm: SwarmLab,
  { spares, prepare, run, heal }: SwarmFault,
): Promise<{ results: [machine: string, load: LoadResult][]; tookMs: number }> {
  await swarm.startWith(4);
  await prepare?.(swarm);
  let tookMs = 0;
  const on = others(swarm, ...spares);
  const loads = await swarm.load(async () => {
    const started = Date.now();
    await run(swarm);
    tookMs = Date.now() - started;
  }, on);
  await heal?.(swarm);
  await swarm.agrees();
  return { results: loads.map((load, i) => [on[i].name, load]), tookMs };
}
