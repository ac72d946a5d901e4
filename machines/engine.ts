/** A Docker engine in a container of another one. */
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type Docker from "dockerode";
import { connectDocker } from "../docker/connect";
import { withoutFrames } from "../docker/exec";
import { hasImage } from "../docker/image";
import { digestContext, packContext } from "../providers/docker/buildContext";
import { BuildProgress, type BuildMessage } from "../providers/docker/buildProgress";
import { poll } from "../time/poll";

/** How long a started engine may take until it answers, with the containers that it restarts. */
const ANSWER_WITHIN_MS = 60_000;
/** How long an engine may take to stop its containers and itself. */
const STOP_SECONDS = 30;

const folder = join(__dirname, "image");
const context = { folder, dockerfile: join(folder, "Dockerfile") };

/** The image of these files: another content has another name. */
export const nameEngineImage = () =>
  `dynamic-scaling-lab-machine:${digestContext(context).slice(0, 12)}`;

/** Builds the engines' image unless it is there; gives its name. @throws with the step that failed */
export async function buildEngineImage(): Promise<string> {
  const docker = connectDocker();
  const image = nameEngineImage();
  if (await hasImage(docker, image)) return image;
  const { archive, dockerfile } = packContext(context);
  const messages = (await docker.buildImage(archive, {
    version: "2",
    t: image,
    dockerfile,
  })) as Readable;
  const progress = new BuildProgress();
  for await (const line of createInterface({ input: messages })) {
    progress.add(JSON.parse(line) as BuildMessage);
  }
  progress.expectImage(image);
  return image;
}

/** What differs between one engine's container and another's. */
export interface EngineOptions {
  name: string;
  image: string;
  /** The port of 127.0.0.1 that leads to a port of the container. */
  ports: [inside: number, host: number][];
  /** What `image/rootfs/etc/s6/dockerd/run` reads. */
  env: string[];
  /** What is mounted, beside what every engine needs. */
  binds: string[];
}

/** The container: all that an engine needs, and less than `--privileged`, which not every machine may give. */
export function describeEngine({ name, image, ports, env, binds }: EngineOptions) {
  const HostConfig: Docker.HostConfig & { CgroupnsMode: string } = {
    CapAdd: ["ALL"],
    CapDrop: ["SYS_RESOURCE"],
    SecurityOpt: ["seccomp=unconfined", "apparmor=unconfined"],
    MaskedPaths: [],
    ReadonlyPaths: [],
    CgroupnsMode: "host",
    Binds: ["/sys/fs/cgroup:/sys/fs/cgroup:rw", ...binds],
    PortBindings: Object.fromEntries(
      ports.map(([inside, host]) => [
        `${inside}/tcp`,
        [{ HostIp: "127.0.0.1", HostPort: `${host}` }],
      ]),
    ),
  };
  return {
    name,
    Image: image,
    StopTimeout: STOP_SECONDS,
    // Its network has no IPv6 that could be switched off.
    Env: [...env, "DOCKER_ALLOW_IPV6_ON_IPV4_INTERFACE=1"],
    ExposedPorts: Object.fromEntries(ports.map(([inside]) => [`${inside}/tcp`, {}])),
    HostConfig,
  };
}

/** @throws with the container's last words if the engine does not answer in time */
export async function awaitEngine(engine: Docker, container: Docker.Container): Promise<void> {
  const ask = () =>
    engine.ping().then(
      () => undefined,
      (error: Error) => error,
    );
  const options = { everyMs: 100, withinMs: ANSWER_WITHIN_MS };
  const error = await poll(ask, (seen) => seen === undefined, options);
  if (error === undefined) return;
  const words = `${error.message}; its last words:\n${await readLastLines(container, 20)}`;
  throw new Error(words, { cause: error });
}

/** The last lines that a container, running or not, has logged. */
export async function readLastLines(container: Docker.Container, count: number): Promise<string> {
  const logs = await container.logs({ stdout: true, stderr: true, tail: count });
  return withoutFrames(logs).trimEnd();
}
