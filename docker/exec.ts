/** Commands in containers, and what they print. */
import { createInterface } from "node:readline";
import { PassThrough } from "node:stream";
import type Docker from "dockerode";

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
