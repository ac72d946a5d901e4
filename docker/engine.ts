/** The one way to a Docker engine, for the providers and the tools. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { createRequire, Module } from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { PassThrough } from "node:stream";
import type Docker from "dockerode";

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

let connected: Docker | undefined;

/** The client of the engine that the environment names, one for the process; see {@link connectTo}. */
export function connectEngine(): Docker {
  return (connected ??= connectTo(chooseEndpoint(process.env)));
}

/** What the engine's containers run on, such as `linux/amd64`. */
export async function readPlatform(): Promise<string> {
  const { Os, Arch } = await connectEngine().version();
  return `${Os}/${Arch}`;
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

/**
 * Loads dockerode, which takes as long as all the rest of a provider: hence at the first call that
 * needs the engine, and without its greater half, an SSH client and a gRPC server: 37 ms of a
 * processor for 57 modules where it is 170 ms for 211. These two are one function each and are
 * loaded when that is called, for an ssh:// engine or a BuildKit session.
 */
function loadClient(): typeof Docker {
  const dockerode = createRequire(require.resolve("dockerode"));
  const modem = createRequire(dockerode.resolve("docker-modem"));
  loadWhenCalled(dockerode, "./session");
  loadWhenCalled(modem, "./ssh");
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  return require("dockerode") as typeof Docker;
}

/** Puts a function in place of a module that is one, as seen from another module. */
function loadWhenCalled(from: NodeJS.Require, name: string): void {
  const path = from.resolve(name);
  if (from.cache[path]) return;
  const standIn = new Module(path);
  standIn.loaded = true;
  standIn.exports = (...args: unknown[]): unknown => {
    delete from.cache[path];
    return (from(name) as (...args: unknown[]) => unknown)(...args);
  };
  from.cache[path] = standIn;
}

/** Whether an error is the engine's answer that something is not (or no longer) there. */
export function isNotFound(error: unknown): boolean {
  return (error as { statusCode?: number }).statusCode === 404;
}

export interface ExecOptions {
  /** Name or id inside the container; the image's user without it. */
  user?: string;
  stdin?: string | Buffer;
  /**
   * Leaves stdin open, so that the command learns from its end that nobody waits any more: the engine
   * ends it when the connection does.
   */
  keepsStdinOpen?: boolean;
  /** Called with each line of stdout as it comes; the result then has none. */
  onLine?: (line: string) => void;
  /** Stops waiting; the engine has no way to stop the command itself. */
  signal?: AbortSignal;
}

export interface ExecResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/**
 * Runs a command in a running container and waits for its end. A command that fails is a result,
 * not an error.
 *
 * @throws if the container is not running, if the signal aborts or if the connection breaks.
 */
export async function runInContainer(
  container: Docker.Container,
  command: string[],
  { user, stdin, keepsStdinOpen, onLine, signal }: ExecOptions = {},
): Promise<ExecResult> {
  const exec = await container.exec({
    Cmd: command,
    User: user,
    AttachStdin: stdin !== undefined,
    AttachStdout: true,
    AttachStderr: true,
    abortSignal: signal,
  });
  const stream = await exec.start({ hijack: true, stdin: stdin !== undefined });
  const abort = () => stream.destroy(signal?.reason as Error);
  signal?.addEventListener("abort", abort, { once: true });
  try {
    const stdout = new PassThrough();
    const stderr = new PassThrough();
    if (onLine) createInterface({ input: stdout }).on("line", onLine);
    const texts = [onLine ? Promise.resolve("") : collect(stdout), collect(stderr)];
    const ended = new Promise<void>((resolve, reject) =>
      stream.on("end", resolve).on("error", reject),
    );
    (container.modem as Docker["modem"]).demuxStream(stream, stdout, stderr);
    if (stdin !== undefined && keepsStdinOpen) stream.write(stdin);
    else if (stdin !== undefined) stream.end(stdin);
    if (signal?.aborted) abort();
    await ended;
    stdout.end();
    stderr.end();
    const [out, err] = await Promise.all(texts);
    const { ExitCode } = await exec.inspect();
    return { exitCode: ExitCode ?? -1, stdout: out, stderr: err };
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

/** The engine frames each piece of output of a container without a terminal with 8 bytes. */
export function withoutFrames(logs: Buffer): string {
  const pieces: Buffer[] = [];
  for (let at = 0; at + 8 <= logs.length;) {
    const end = at + 8 + logs.readUInt32BE(at + 4);
    pieces.push(logs.subarray(at + 8, end));
    at = end;
  }
  return Buffer.concat(pieces).toString();
}

async function collect(stream: PassThrough): Promise<string> {
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  await new Promise((resolve) => stream.on("end", resolve));
  return Buffer.concat(chunks).toString();
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
