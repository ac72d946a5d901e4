/** Downloads from official hosts, given up soon where they cannot be reached. */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

/** How long a host may take to answer: a closed machine must not wait long for its other ways. */
const patience = 5_000;
/** How long one file may take. */
const longest = 10 * 60_000;

/** Whether a host answers at all. */
export async function isReachable(url: string): Promise<boolean> {
  return open(url, "HEAD").then(
    () => true,
    () => false,
  );
}

/** @throws naming the address if it cannot be had. */
export async function downloadText(url: string): Promise<string> {
  return (await get(url)).text();
}

/** @throws naming the address if it cannot be had. */
export async function downloadFile(url: string, file: string): Promise<void> {
  const { body } = await get(url);
  if (!body) throw new Error(`${url} is empty`);
  await pipeline(Readable.fromWeb(body), createWriteStream(file), {
    signal: AbortSignal.timeout(longest),
  });
}

/** @throws if the file is not the one that the list of checksums (as `sha256sum` writes it) names. */
export async function verifyChecksum(file: string, name: string, checksums: string): Promise<void> {
  const expected = findChecksum(checksums, name);
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  const actual = hash.digest("hex");
  if (actual !== expected) {
    throw new Error(`${name} has the checksum ${actual}; published is ${expected ?? "none"}`);
  }
}

/** The checksum of a file in the output of `sha256sum`. */
export function findChecksum(checksums: string, name: string): string | undefined {
  return checksums
    .split("\n")
    .map((line) => /^([0-9a-f]{64}) [ *](.+)$/.exec(line.trim()))
    .find((match) => match?.[2] === name)?.[1];
}

async function get(url: string): Promise<Response> {
  const response = await open(url, "GET");
  if (!response.ok) throw new Error(`${url} answers ${response.status}`);
  return response;
}

/** Only the answer's beginning is hurried, not its body. */
async function open(url: string, method: string): Promise<Response> {
  const giveUp = new AbortController();
  const timer = setTimeout(() => giveUp.abort(), patience);
  try {
    return await fetch(url, { method, signal: giveUp.signal });
  } catch (error) {
    const reason = giveUp.signal.aborted
      ? `no answer within ${patience / 1000} s`
      : (((error as Error).cause as Error | undefined) ?? (error as Error)).message;
    throw new Error(`${url}: ${reason}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}
