/** The one way to a Docker engine, for the providers and the tools. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type Docker from "dockerode";
import { chooseEndpoint, type Endpoint } from "./endpoint";
import { loadClient } from "./loadClient";

let connected: Docker | undefined;

/** The client of the engine that the environment names, one for the process; see {@link connectTo}. */
export function connectDocker(): Docker {
  return (connected ??= connectTo(chooseEndpoint(process.env)));
}

/** What the engine's containers run on, such as `linux/amd64`. */
export async function readPlatform(): Promise<string> {
  const { Os, Arch } = await connectDocker().version();
  return `${Os}/${Arch}`;
}

/** Where the other engines of its Swarm, and most often everybody, reach the engine. */
export async function readSwarmAddress(): Promise<string | undefined> {
  const { Swarm } = (await connectDocker().info()) as { Swarm?: { NodeAddr?: string } };
  return Swarm?.NodeAddr || undefined;
}

/**
 * A client of an engine. Its calls share Node's keep-alive connections. Their errors are one clean
 * sentence: the engine's own words, or the address that did not answer.
 *
 * @throws if the address is of a kind that is not supported.
 */
export function connectTo(endpoint: Endpoint): Docker {
  const Client = loadClient();
  const docker = new Client(toOptions(endpoint));
  const dial = docker.modem.dial.bind(docker.modem);
  docker.modem.dial = (options, callback) =>
    dial(options, (error, result) => callback?.(error && explainError(error, endpoint), result));
  return docker;
}

/** Whether an error is the engine's answer that something is not (or no longer) there. */
export function isNotFound(error: unknown): boolean {
  return (error as { statusCode?: number }).statusCode === 404;
}

/** The options of docker-modem, which must not look at the environment a second time. */
function toOptions({ address, source, certificates }: Endpoint): Docker.DockerOptions {
  const [scheme, rest = ""] = address.split("://");
  if (scheme === "unix" || scheme === "npipe") {
    return { socketPath: rest, host: undefined };
  }
  if (scheme !== "tcp" && scheme !== "ssh") {
    throw new Error(
      `${source} names the Docker engine "${address}"; allowed are unix://, npipe://, tcp:// and ssh://`,
    );
  }
  const url = new URL(address);
  if (scheme === "ssh") {
    return {
      protocol: "ssh",
      host: url.hostname,
      port: url.port || 22,
      username: url.username || undefined,
      sshOptions: { agent: process.env.SSH_AUTH_SOCK },
    };
  }
  const host = { host: url.hostname, port: url.port || (certificates ? 2376 : 2375) };
  if (certificates === undefined) return { protocol: "http", ...host };
  const read = (name: string) => readFileSync(join(certificates, name));
  return {
    protocol: "https",
    ...host,
    ca: read("ca.pem").toString(),
    cert: read("cert.pem").toString(),
    key: read("key.pem").toString(),
  };
}

interface EngineError extends Error {
  /** Of the system call that failed. */
  code?: string;
  statusCode?: number;
  json?: { message?: string } | null;
}

/** What a user does about an engine's socket that is closed to them. */
const DENIED_HELP =
  "add yourself to the group `docker` (`sudo usermod -aG docker $USER`, then log in anew), or use sudo";

/** docker-modem decorates the engine's words: `(HTTP code 409) unexpected - … `. */
function explainError(error: EngineError, { address, source }: Endpoint): Error {
  if (error.name === "AbortError") return error;
  if (error.statusCode === undefined) {
    const help = error.code === "EACCES" ? `; ${DENIED_HELP}` : "";
    return new Error(`the Docker engine at ${address} (${source}): ${error.message}${help}`);
  }
  const decorated = error.message.replace(/^\(HTTP code \d+\) .*? - /s, "").trim();
  return Object.assign(new Error(error.json?.message ?? decorated), {
    statusCode: error.statusCode,
  });
}
