/** Docker engines that a test may restart: each in a container of the environment's engine. */
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type Docker from "dockerode";
import { packContext } from "../../providers/docker/buildContext";
import { BuildProgress, type BuildMessage } from "../../providers/docker/buildProgress";
import { connectTo, isNotFound, runInContainer, withoutFrames } from "../../docker/engine";
import { findFreePorts, NODE_PORTS, type LabPorts } from "../../preflight/freePlaces";
import { engine as outer, type LabHost } from "./checkout";
import { eventually } from "./observe";

const IMAGE = "dynamic-scaling-lab-nested-engine";
const CONTEXT = join(__dirname, "nestedEngine");
/** Where the engine's socket is in its container. */
const SOCKET_FOLDER = "/run/engine";
/** How long a started engine may take until it answers, with the containers that it restarts. */
const PATIENCE_MS = 60_000;
/** How long an engine may take to stop its containers and itself. */
const STOP_SECONDS = 30;

/**
 * How an engine ends before it is started again:
 * - `graceful`: it stops its containers and then itself, as when its package is upgraded
 * - `kill`: dockerd and containerd are gone at once, as in a crash; the containers run on
 * - `reboot`: as graceful, and the whole machine ends with it
 * - `power`: everything is gone at once
 */
export type Ending = "graceful" | "kill" | "reboot" | "power";

/** An engine of its own for a test's lab: it is a place that `LabCheckout.create` takes. */
export class NestedEngine implements LabHost {
  readonly engine: Docker;
  /** What DOCKER_HOST has to be for a program that is to use this engine. */
  readonly dockerHost: string;

  private constructor(
    private readonly container: Docker.Container,
    private readonly folder: string,
    /** Ports that are published twice: by the lab in the container, and by that on this host. */
    readonly config: NonNullable<LabHost["config"]>,
  ) {
    this.dockerHost = `unix://${join(folder, "docker.sock")}`;
    this.engine = connectTo({ address: this.dockerHost, source: "the test" });
  }

  /**
   * Starts an engine and waits until it answers.
   *
   * @param name one at a time has it in this checkout; what an aborted test left of it is removed
   * @param images the images of the outer engine that it is to have, by their tags
   */
  static async start(name: string, images: string[]): Promise<NestedEngine> {
    await buildImage();
    const checkout = createHash("sha256").update(__dirname).digest("hex").slice(0, 8);
    const containerName = `${IMAGE}-${name}-${checkout}`;
    await removeContainer(outer.getContainer(containerName));
    const ports = await findFreePorts(containerName);
    // Closed to others, as whoever reaches the socket is root.
    const folder = mkdtempSync(join(tmpdir(), "nested-engine-"));
    const container = await createContainer(containerName, folder, ports);
    const nested = new NestedEngine(container, folder, {
      ...ports,
      publishAddress: "0.0.0.0",
      adminAddress: "0.0.0.0",
      statsPassword: "open to the outer host",
    });
    try {
      await container.start();
      await nested.awaitAnswer();
      for (const image of images) await nested.copyImage(image);
    } catch (error) {
      await nested.remove();
      throw error;
    }
    return nested;
  }

  /** Ends the engine, and starts it again with what it holds; waits until it answers. */
  async restart(ending: Ending): Promise<void> {
    await this.endings[ending]();
    await this.awaitAnswer();
  }

  /** Takes it away with all that is on it. */
  async remove(): Promise<void> {
    await removeContainer(this.container);
    rmSync(this.folder, { recursive: true, force: true });
  }

  private readonly endings: Record<Ending, () => Promise<unknown>> = {
    graceful: () => this.restartDaemon("graceful"),
    kill: () => this.restartDaemon("kill"),
    reboot: () => this.container.restart(),
    power: () => this.container.kill().then(() => this.container.start()),
  };

  /** The machine goes on. */
  private async restartDaemon(ending: "graceful" | "kill"): Promise<void> {
    const command = ["restart-engine", ending];
    const { exitCode, stdout, stderr } = await runInContainer(this.container, command);
    if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stdout}${stderr}`);
  }

  private async awaitAnswer(): Promise<void> {
    try {
      await eventually(PATIENCE_MS, () => this.engine.ping());
    } catch (error) {
      const logs = await this.container.logs({ stdout: true, stderr: true, tail: 20 });
      const words = `${(error as Error).message}; its last words:\n${withoutFrames(logs)}`;
      throw new Error(words, { cause: error });
    }
  }

  private async copyImage(image: string): Promise<void> {
    const progress = await this.engine.loadImage(await outer.getImage(image).get());
    await new Promise<void>((resolve, reject) =>
      this.engine.modem.followProgress(progress, (error) => (error ? reject(error) : resolve())),
    );
  }
}

/** Builds the engines' image; only the first time does it take long. */
async function buildImage(): Promise<void> {
  const dockerfile = join(CONTEXT, "Dockerfile");
  const packed = packContext({ folder: CONTEXT, dockerfile });
  const messages = (await outer.buildImage(packed.archive, {
    version: "2",
    t: IMAGE,
    dockerfile: packed.dockerfile,
  })) as Readable;
  const progress = new BuildProgress();
  for await (const line of createInterface({ input: messages })) {
    progress.add(JSON.parse(line) as BuildMessage);
  }
  progress.expectImage(IMAGE);
}

/** All that an engine needs, and less than `--privileged`, which not every machine may give. */
function createContainer(name: string, folder: string, ports: LabPorts): Promise<Docker.Container> {
  const { httpPort, statsPort, adminPort, nodePorts } = ports;
  const nodes = Array.from({ length: NODE_PORTS }, (_, i) => nodePorts + i);
  const published = [httpPort, statsPort, adminPort, ...nodes];
  const HostConfig: Docker.HostConfig & { CgroupnsMode: string } = {
    CapAdd: ["ALL"],
    CapDrop: ["SYS_RESOURCE"],
    SecurityOpt: ["seccomp=unconfined", "apparmor=unconfined"],
    MaskedPaths: [],
    ReadonlyPaths: [],
    CgroupnsMode: "host",
    Binds: ["/sys/fs/cgroup:/sys/fs/cgroup:rw", `${folder}:${SOCKET_FOLDER}`],
    PortBindings: Object.fromEntries(
      published.map((port) => [`${port}/tcp`, [{ HostIp: "127.0.0.1", HostPort: `${port}` }]]),
    ),
  };
  return outer.createContainer({
    name,
    Image: IMAGE,
    StopTimeout: STOP_SECONDS,
    Env: [
      `SOCKET_GROUP=${process.getgid!()}`,
      // Its network has no IPv6 that could be switched off.
      "DOCKER_ALLOW_IPV6_ON_IPV4_INTERFACE=1",
    ],
    ExposedPorts: Object.fromEntries(published.map((port) => [`${port}/tcp`, {}])),
    HostConfig,
  });
}

/** Removes a container, if it is there, with its volume and all processes in it. */
async function removeContainer(container: Docker.Container): Promise<void> {
  try {
    await container.remove({ force: true, v: true });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
