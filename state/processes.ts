/** The processes of this machine. */
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";

export interface Process {
  pid: number;
  /** pid of the one that started it, or of the one that took it over. */
  parent: number;
  /** The program and its arguments. */
  command: string[];
}

/** All processes that run now, without those that ended and wait to be noticed. */
export function listProcesses(): Process[] {
  return process.platform === "linux" ? readProc() : askPs();
}

/** Bare Debian has no `ps`. */
function readProc(): Process[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const command = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0").slice(0, -1);
        // The name before these fields is in parentheses and may hold any character.
        const fields = readFileSync(`/proc/${name}/stat`, "utf8")
          .replace(/^.*\) /s, "")
          .split(" ");
        const isRunning = command.length > 0 && fields[0] !== "Z";
        return isRunning ? [{ pid: Number(name), parent: Number(fields[1]), command }] : [];
      } catch {
        return []; // ended meanwhile
      }
    });
}

function askPs(): Process[] {
  const lines = execFileSync("ps", ["-A", "-o", "pid=,ppid=,args="], { encoding: "utf8" });
  return lines
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .map(([pid, parent, ...command]) => ({ pid: Number(pid), parent: Number(parent), command }));
}
