import { execFile, execFileSync, spawn, type ChildProcess } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import type Docker from "dockerode";
import { STACK_LABEL } from "../../config/topology";
import { connectDocker } from "../../docker/connect";
import { findFreePorts, findFreeSubnet, type LabPorts } from "../../preflight/freePlaces";

const original = resolve(__dirname, "../..");
const run = promisify(execFile);

export const engine = connectDocker();

/** Where a lab goes. */
export interface LabHost {
  engine: Docker;
  /** The engine's address for the lab's commands, if it is not the one that the environment names. */
  dockerHost?: string;
  /** The lab's ports and the addresses they are published on; free ones of this host without it. */
  config?: LabPorts & Record<string, string | number>;
}

/** What a finished command printed, and how it ended. */
export interface Outcome {
  code: number;
  /** Standard output and error, as a terminal would show them. */
  output: string;
}

/**
 * A lab of its own in a copy of this checkout: own stack, state, names, ports, subnet and images,
 * so that a test neither meets a deployed lab nor leaves anything in the checkout.
 */
export class LabCheckout {
  readonly folder: string;

  private constructor(
    readonly stack: string,
    readonly host: LabHost,
    readonly config: Record<string, string | number>,
  ) {
    this.folder = mkdtempSync(join(tmpdir(), `${stack}-`));
    const list = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
    const files = execFileSync("git", list, { cwd: original, encoding: "utf8" }).split("\0");
    // The toolchain's links are not tracked, but they are this machine's, and so the copy's too.
    for (const file of [...files.filter(Boolean), "cli/pulumi/toolchain"]) {
      mkdirSync(dirname(join(this.folder, file)), { recursive: true });
      cpSync(join(original, file), join(this.folder, file), { recursive: true });
    }
    symlinkSync(join(original, "node_modules"), join(this.folder, "node_modules"));
  }

  /** Makes the copy and its stack; nothing is deployed yet, nor left by a run that was killed. */
  static async create(stack: string, host: LabHost = { engine }): Promise<LabCheckout> {
    await removeObjects(host.engine, stack);
    const lab = new LabCheckout(stack, host, {
      namePrefix: `${stack}-`,
      subnet: await findFreeSubnet(host.engine, stack),
      ...(host.config ?? (await findFreePorts(stack))),
    });
    await lab.succeed("stack", "init", stack);
    for (const [key, value] of Object.entries(lab.config)) await lab.configure(key, value);
    return lab;
  }

  /** A second copy with the same stack name and values, as a second clone on the same engine. */
  async clone(): Promise<LabCheckout> {
    const twin = new LabCheckout(this.stack, this.host, { ...this.config });
    await twin.succeed("stack", "init", this.stack);
    for (const [key, value] of Object.entries(twin.config)) await twin.configure(key, value);
    return twin;
  }

  /** Gives a copy a prefix, a subnet and ports of its own. */
  async moveAside(): Promise<void> {
    const name = `${this.stack}-aside`;
    const subnet = await findFreeSubnet(this.host.engine, name);
    const aside = { namePrefix: `${name}-`, subnet, ...(await findFreePorts(name)) };
    Object.assign(this.config, aside);
    for (const [key, value] of Object.entries(aside)) await this.configure(key, value);
  }

  configure(key: string, value: string | number): Promise<string> {
    const secret = /Password$/.test(key) ? ["--secret"] : [];
    return this.succeed("config", "set", key, String(value), ...secret, "--stack", this.stack);
  }

  /** Changes a file of the copy while the work is done, and puts it back, also when that fails. */
  async withEdit(
    file: string,
    change: (text: string) => string,
    work: () => Promise<void>,
  ): Promise<void> {
    const path = join(this.folder, file);
    const before = readFileSync(path, "utf8");
    writeFileSync(path, change(before));
    try {
      await work();
    } finally {
      writeFileSync(path, before);
    }
  }

  /** Runs the launcher behind `npx pulumi` in the copy. */
  async pulumi(...args: string[]): Promise<Outcome> {
    const { dockerHost } = this.host;
    const env = { ...process.env, ...(dockerHost && { DOCKER_HOST: dockerHost }) };
    const options = { cwd: this.folder, maxBuffer: 2 ** 26, env };
    // In order, as in a terminal.
    const script = 'exec cli/pulumi/pulumi "$@" --non-interactive 2>&1';
    try {
      const { stdout } = await run("sh", ["-c", script, "pulumi", ...args], options);
      return { code: 0, output: stdout };
    } catch (error) {
      const { code, stdout } = error as { code: number; stdout: string };
      return { code, output: stdout };
    }
  }

  /** The same for a command that has to succeed. */
  async succeed(...args: string[]): Promise<string> {
    const { code, output } = await this.pulumi(...args);
    if (code !== 0) throw new Error(`pulumi ${args.join(" ")} exited with ${code}:\n${output}`);
    return output;
  }

  up(): Promise<string> {
    return this.succeed("up", "--yes", "--skip-preview", "--stack", this.stack);
  }

  /** Begins an update in a process group of its own, as in a terminal. */
  startUpdate(output: "ignore" | "pipe" = "ignore"): ChildProcess {
    const args = ["up", "--yes", "--skip-preview", "--non-interactive", "--stack", this.stack];
    return spawn(join(this.folder, "cli/pulumi/pulumi"), args, {
      cwd: this.folder,
      detached: true,
      stdio: ["ignore", output, output],
    });
  }

  async scale(nodeCount: number): Promise<string> {
    await this.configure("nodeCount", nodeCount);
    return this.up();
  }

  /** For the next {@link up}. */
  async setBalancers(count: 1 | 2): Promise<void> {
    this.config.balancers = count;
    await this.configure("balancers", count);
  }

  async output<T>(name: string): Promise<T> {
    const text = await this.succeed("stack", "output", name, "--json", "--stack", this.stack);
    return JSON.parse(text) as T;
  }

  /** A container by its name inside the lab. */
  container(name: string) {
    return this.host.engine.getContainer(`${this.config.namePrefix}${name}`);
  }

  /** What of this lab the engine holds. */
  async leftovers(): Promise<string[]> {
    const { engine } = this.host;
    const filters = ofStack(this.stack);
    const containers = await engine.listContainers({ all: true, filters });
    const networks = await engine.listNetworks({ filters });
    const { Volumes } = await engine.listVolumes({ filters });
    return [
      ...containers.flatMap((container) => container.Names),
      ...networks.map((network) => network.Name),
      ...Volumes.map((volume) => volume.Name),
    ];
  }

  /** Takes all away that a test may have left, also a failed one. */
  async remove(): Promise<void> {
    try {
      await this.pulumi("destroy", "--yes", "--skip-preview", "--stack", this.stack);
      await removeObjects(this.host.engine, this.stack);
    } finally {
      rmSync(this.folder, { recursive: true });
    }
  }
}

const ofStack = (stack: string) => ({ label: [`${STACK_LABEL}=${stack}`] });

/** Removes what a stack has on an engine. */
async function removeObjects(engine: Docker, stack: string): Promise<void> {
  const filters = ofStack(stack);
  for (const { Id } of await engine.listContainers({ all: true, filters })) {
    await engine.getContainer(Id).remove({ force: true, v: true });
  }
  for (const { Id } of await engine.listNetworks({ filters })) {
    // A Swarm's that was destroyed is listed until its last task has ended.
    const remove = engine.getNetwork(Id).remove() as Promise<void>;
    await remove.catch((error: Error) => {
      if (!error.message.includes("not found")) throw error;
    });
  }
  const { Volumes } = await engine.listVolumes({ filters });
  for (const { Name } of Volumes ?? []) await engine.getVolume(Name).remove();
  for (const { Id } of await engine.listImages({ filters })) {
    await engine.getImage(Id).remove({ force: true });
  }
  // The front's has no label: two stacks may have the same one, by tags of their own.
  const tagged = await engine.listImages({ filters: { reference: [`*:${stack}`] } });
  for (const tag of tagged.flatMap(({ RepoTags }) => RepoTags ?? [])) {
    if (tag.endsWith(`:${stack}`)) await engine.getImage(tag).remove({ force: true });
  }
}
