/** What a user would pick instead of this lab: Debian's docker-compose with HAProxy's `server-template`. */
import { join } from "node:path";
import { imageNames } from "../config/topology";
import { findFreePorts } from "../preflight/freePlaces";
import type { LabCheckout } from "../test/support/checkout";
import { needProgram, run } from "./measure";

export interface Compose {
  /** Where its balancer is published on this host. */
  port: number;
  /** `docker-compose up` to so many nodes. */
  scale: (nodes: number) => Promise<void>;
}

/** Works with the peer, which runs the lab's own images, and takes it down. */
export async function withCompose<T>(
  lab: LabCheckout,
  progress: (line: string) => void,
  work: (compose: Compose) => Promise<T>,
): Promise<T> {
  await needProgram("docker-compose", "to compare with", progress);
  const { httpPort: port } = await findFreePorts("bench-compose");
  const images = imageNames({ namePrefix: String(lab.config.namePrefix), stack: lab.stack });
  const env = { WEBAPP_IMAGE: images.webapp, HA_IMAGE: images.ha, HTTP_PORT: String(port) };
  const compose = (...args: string[]) => {
    const command = ["docker-compose", "--project-name", "bench-peer", ...args];
    return run(command, { cwd: join(__dirname, "peers"), env });
  };
  try {
    return await work({
      port,
      scale: async (nodes) => void (await compose("up", "--detach", "--scale", `webapp=${nodes}`)),
    });
  } finally {
    await compose("down", "--timeout", "1");
  }
}
