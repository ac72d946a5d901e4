/** Room for many nodes in the kernel's table of neighbours. */
import { writeFileSync } from "node:fs";
import { NEIGHBOUR_LIMITS, readLimit, roomFor, sysctlFile } from "../preflight/neighbours";

/** @throws unless this is root's, who may */
export async function withNeighbours<T>(
  nodes: number,
  progress: (line: string) => void,
  work: () => Promise<T>,
): Promise<T> {
  const needed = roomFor(nodes);
  const low = NEIGHBOUR_LIMITS.flatMap((name) => {
    const before = readLimit(name);
    return before === undefined || before >= needed ? [] : [{ name, before }];
  });
  const set = (name: string, value: number) => writeFileSync(sysctlFile(name), String(value));
  try {
    for (const { name, before } of low) {
      progress(`raises ${name} from ${before} to ${needed} until it has ended`);
      set(name, needed);
    }
    return await work();
  } finally {
    for (const { name, before } of low) set(name, before);
  }
}
