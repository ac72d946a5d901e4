/** Docker engines that a test may restart: each in a container of the environment's engine. */
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type Docker from "dockerode";
import { connectTo } from "../../docker/connect";
import { runInContainer } from "../../docker/exec";
import { copyImage } from "../../docker/image";
import { removeContainer } from "../../docker/remove";
import { awaitEngine, buildEngineImage, describeEngine } from "../../machines/engine";
import { findFreePorts, NODE_PORTS } from "../../preflight/freePlaces";
import { engine as outer, type LabHost } from "./checkout";

/** The registry beside the engine, as that reaches it. */
export const REGISTRY = "127.0.0.1:5000";
/** Where the engine's socket is in its container. */
const SOCKET_FOLDER = "/run/engine";

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
    const image = await buildEngineImage();
    const checkout = createHash("sha256").update(__dirname).digest("hex").slice(0, 8);
    const containerName = `dynamic-scaling-lab-nested-engine-${name}-${checkout}`;
    await removeContainer(outer.getContainer(containerName));
    const ports = await findFreePorts(containerName);
    const { nodePorts, ...others } = ports;
    const nodes = Array.from({ length: NODE_PORTS }, (_, i) => nodePorts + i);
    // Closed to others, as whoever reaches the socket is root.
    const folder = mkdtempSync(join(tmpdir(), "nested-engine-"));
    const container = await outer.createContainer(
      describeEngine({
        name: containerName,
        image,
        ports: [...Object.values(others), ...nodes].map((port) => [port, port]),
        env: [`SOCKET_GROUP=${process.getgid!()}`],
        binds: [`${folder}:${SOCKET_FOLDER}`],
      }),
    );
    const nested = new NestedEngine(container, folder, {
      ...ports,
      publishAddress: "0.0.0.0",
      adminAddress: "0.0.0.0",
      statsPassword: "open to the outer host",
    });
    try {
      await container.start();
      await nested.awaitAnswer();
      for (const image of images) await copyImage(image, nested.engine);
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

  /** Starts {@link REGISTRY}, which asks for no password and runs as long as the machine. */
  startRegistry(): Promise<void> {
    return this.run("s6-svc", "-u", "/etc/s6/registry");
  }

  /** Takes it away with all that is on it. */
  async remove(): Promise<void> {
    await removeContainer(this.container);
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Those that name no container leave the machine running. */
  private readonly endings: Record<Ending, () => Promise<unknown>> = {
    graceful: () => this.run("restart-engine", "graceful"),
    kill: () => this.run("restart-engine", "kill"),
    reboot: () => this.container.restart(),
    power: () => this.container.kill().then(() => this.container.start()),
  };

  private async run(...command: string[]): Promise<void> {
    const { exitCode, stdout, stderr } = await runInContainer(this.container, command);
    if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stdout}${stderr}`);
  }

  private awaitAnswer(): Promise<void> {
    return awaitEngine(this.engine, this.container);
  }
}
