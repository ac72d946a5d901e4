/** Room for many nodes in the kernel's table of neighbours; see components/preflight.ts. */
import { readFileSync, writeFileSync } from "node:fs";

const LIMIT = "/proc/sys/net/ipv4/neigh/default/gc_thresh3";

/** @throws unless this is root's, who may */
export async function withNeighbours<T>(
  nodes: number,
  progress: (line: string) => void,
  work: () => Promise<T>,
): Promise<T> {
  const before = readFileSync(LIMIT, "utf8").trim();
  const needed = 2 * (nodes + 1) ** 2;
  if (Number(before) >= needed) return work();
  progress(`raises gc_thresh3 from ${before} to ${needed} until it has ended, for ${nodes} nodes`);
  writeFileSync(LIMIT, String(needed));
  try {
    return await work();
  } finally {
    writeFileSync(LIMIT, before);
  }
}
