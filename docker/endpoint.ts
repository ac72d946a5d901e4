/** Which Docker engine is used, as Docker's CLI chooses it. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** Where an engine is and what says so. */
export interface Endpoint {
  /** Such as `unix:///var/run/docker.sock`, `tcp://10.0.0.5:2376`, `ssh://user@host`. */
  address: string;
  /** What chose it, for error messages. */
  source: string;
  /** Folder with ca.pem, cert.pem and key.pem. */
  certificates?: string;
}

/**
 * Chooses the engine as Docker's CLI does: DOCKER_HOST, then DOCKER_CONTEXT or the current context,
 * then the default socket.
 *
 * @throws if the chosen context does not exist.
 */
export function chooseEndpoint(env: NodeJS.ProcessEnv): Endpoint {
  if (env.DOCKER_HOST) {
    return {
      address: env.DOCKER_HOST,
      source: "DOCKER_HOST",
      certificates: env.DOCKER_TLS_VERIFY ? certificatesFolder(env) : undefined,
    };
  }
  const context = env.DOCKER_CONTEXT || readCurrentContext(env);
  return context === undefined || context === "default"
    ? { address: "unix:///var/run/docker.sock", source: "the default" }
    : readContext(env, context);
}

function configFolder(env: NodeJS.ProcessEnv): string {
  return env.DOCKER_CONFIG || join(homedir(), ".docker");
}

function certificatesFolder(env: NodeJS.ProcessEnv): string {
  return env.DOCKER_CERT_PATH || configFolder(env);
}

function readCurrentContext(env: NodeJS.ProcessEnv): string | undefined {
  const file = join(configFolder(env), "config.json");
  if (!existsSync(file)) return undefined;
  return (JSON.parse(readFileSync(file, "utf8")) as { currentContext?: string }).currentContext;
}

/** Docker's CLI keeps each context in a folder named by the digest of the context's name. */
function readContext(env: NodeJS.ProcessEnv, name: string): Endpoint {
  const id = createHash("sha256").update(name).digest("hex");
  const contexts = join(configFolder(env), "contexts");
  const file = join(contexts, "meta", id, "meta.json");
  if (!existsSync(file)) {
    throw new Error(`Docker context "${name}" does not exist (no ${file})`);
  }
  const meta = JSON.parse(readFileSync(file, "utf8")) as {
    Endpoints: { docker: { Host: string } };
  };
  const certificates = join(contexts, "tls", id, "docker");
  return {
    address: meta.Endpoints.docker.Host,
    source: `Docker context "${name}"`,
    certificates: existsSync(certificates) ? certificates : undefined,
  };
}
