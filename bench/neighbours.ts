/** Room for many nodes in the kernel's table of neighbours. */
import { writeFileSync } from "node:fs";
import { NEIGHBOURS, NEIGHBOURS_FILE, readNeighbours, roomFor } from "../preflight/neighbours";

/** @throws unless this is root's, who may */
export async function withNeighbours<T>(
  nodes: number,
  progress: (line: string) => void,
  work: () => Promise<T>,
): Promise<T> {
  const before = readNeighbours();
  const needed = roomFor(nodes);
  if (before === undefined || before >= needed) return work();
  progress(`raises ${NEIGHBOURS} from ${before} to ${needed} until it has ended`);
  writeFileSync(NEIGHBOURS_FILE, String(needed));
  try {
    return await work();
  } finally {
    writeFileSync(NEIGHBOURS_FILE, String(before));
  }
}
