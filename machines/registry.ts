/** The registry from which all machines have their images. */
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { hash } from "bcryptjs";
import type Docker from "dockerode";
import { archiveOf } from "../docker/archive";
import { ensureRegistry, REGISTRY_NAME } from "./machines";

export const REGISTRY_USER = "lab";
const HTPASSWD = "registry.htpasswd";
/** Some 50 ms: the registry checks the password at each request. */
const COST = 10;

/** The container, with the settings of the image's registry.yml but for these. */
export function describeRegistry(image: string): Docker.ContainerCreateOptions {
  return {
    Image: image,
    Entrypoint: ["docker-registry", "serve", "/etc/registry.yml"],
    Env: [
      "REGISTRY_HTTP_ADDR=0.0.0.0:5000",
      "REGISTRY_AUTH=htpasswd",
      `REGISTRY_AUTH_HTPASSWD_REALM=${REGISTRY_NAME}`,
      `REGISTRY_AUTH_HTPASSWD_PATH=/etc/${HTPASSWD}`,
    ],
    HostConfig: {
      Binds: [`${REGISTRY_NAME}:/var/lib/registry`],
      CapDrop: ["ALL"],
      SecurityOpt: ["no-new-privileges"],
    },
  };
}

/**
 * Starts the registry, which is made if there is none.
 *
 * @param passwordFile has the password, or will have a new one
 */
export async function startRegistry(image: string, passwordFile: string): Promise<void> {
  const container = await ensureRegistry(describeRegistry(image));
  const password = keepPassword(passwordFile);
  const line = `${REGISTRY_USER}:${await hash(password, COST)}\n`;
  const archive = archiveOf(HTPASSWD, line, 0o600);
  // A registry that runs reads the new file at the next request.
  await container.putArchive(archive, { path: "/etc" });
  await container.start();
}

/** The password in a file that only this user can read; a random one is written if there is none. */
function keepPassword(file: string): string {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  try {
    writeFileSync(file, randomBytes(24).toString("base64url"), { flag: "wx", mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  return readFileSync(file, "utf8");
}
