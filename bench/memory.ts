/** What a lab's container takes of the host's memory. */
import { readFileSync } from "node:fs";
import type { LabCheckout } from "../test/support/checkout";

export interface MemoryUse {
  /** Of the container as `docker stats` shows it, MB. */
  all: number;
  /** Of its processes beside the application, MB: each page shared by n counts as 1/n. */
  tools: number;
}

/** Needs an engine on this host, whose /proc has the container's processes. */
export async function memoryOf(lab: LabCheckout, name: string): Promise<MemoryUse> {
  const top = (await lab.container(name).top({ ps_args: "-eo pid,comm" })) as {
    Processes: [pid: string, command: string][];
  };
  const sizes = top.Processes.map(([pid, command]) => {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    return { command, mb: Number(/^Pss:\s+(\d+)/m.exec(text)![1]) / 1024 };
  });
  const sum = (of: typeof sizes) => of.reduce((total, { mb }) => total + mb, 0);
  const { memory_stats: cgroup } = await lab.container(name).stats({ stream: false });
  // Control groups of version 1 and 2 call it differently.
  const { total_inactive_file: v1, inactive_file: v2 } = cgroup.stats as Record<string, number>;
  const all = (cgroup.usage - (v1 ?? v2 ?? 0)) / 2 ** 20;
  return { all, tools: sum(sizes.filter(({ command }) => command !== "node")) };
}
