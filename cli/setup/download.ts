/** Downloads from official hosts, given up soon where they cannot be reached. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { findOnPath, installPackages, run } from "./commands";

/** s: a closed machine must not wait long for its other ways. */
const LIMITS = {
  "--connect-timeout": "5",
  "--speed-limit": "1000",
  "--speed-time": "15",
  "--max-time": "600",
};

/**
 * Gets a file by curl: unlike Node's own client it takes the proxy that the environment names.
 *
 * @throws in curl's words if it cannot be had.
 */
export async function download(url: string, file: string): Promise<void> {
  if (!findOnPath("curl")) await installPackages("curl", "ca-certificates");
  const options = ["--fail", "--silent", "--show-error", "--location", "--proto", "=https"];
  await run(["curl", ...options, ...Object.entries(LIMITS).flat(), "--output", file, url]);
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
