/** Room for many nodes in the kernel's table of neighbours. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { NEIGHBOUR_LIMITS, roomFor, sysctlFile } from "../preflight/neighbours";

/** @throws unless this is root's, who may */
export async function withNeighbours<T>(
  nodes: number,
  progress: (line: string) => void,
  work: () => Promise<T>,
): Promise<T> {
  const needed = roomFor(nodes);
  const low = NEIGHBOUR_LIMITS.map((name) => ({ name, file: sysctlFile(name) }))
    .filter(({ file }) => existsSync(file))
    .map(({ name, file }) => ({ name, file, before: readFileSync(file, "utf8").trim() }))
    .filter(({ before }) => Number(before) < needed);
  for (const { name, file, before } of low) {
    progress(`raises ${name} from ${before} to ${needed} until it has ended`);
    writeFileSync(file, String(needed));
  }
  try {
    return await work();
  } finally {
    for (const { file, before } of low) writeFileSync(file, before);
  }
}
