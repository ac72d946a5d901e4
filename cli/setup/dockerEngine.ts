/** A Docker engine that answers. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connectDocker } from "../../docker/connect";
import { chooseEndpoint } from "../../docker/endpoint";
import { poll } from "../../time/poll";
import { asRoot, findOnPath, installPackages, run } from "./commands";
import { cache } from "./places";
import type { Step, Way } from "./step";

const defaultAddress = "unix:///var/run/docker.sock";
/**
 * A process outside of any container has 1024. The engine has one group for all its containers, and
 * without systemd that group has as much as one process's session: a lab that is under load would
 * starve beside a few others that compute.
 */
const CONTAINERS_SHARES = 8192;
/** How long a started engine may take until it answers. */
const STARTED_WITHIN_MS = 60_000;

/** What decides how an engine can be had. */
export interface Machine {
  /** The engine that the user's environment names, if it is not the default one. */
  named?: { address: string; source: string };
  /** Whether the default socket is there but closed to this user. */
  denied: boolean;
  hasApt: boolean;
  /** Root, or able to become it. */
  root: boolean;
  hasEngine: boolean;
  hasSystemd: boolean;
}

/** What to do about an engine that does not answer. */
export type Decision = { help: string } | { install: boolean; start: "systemd" | "detached" };

/** An engine that somebody chose or runs is theirs: only a missing one is made. */
export function decideEngine(machine: Machine): Decision {
  const again = "then run the same command again";
  if (machine.named) {
    const { address, source } = machine.named;
    return { help: `${address} (${source}) does not answer; start it or unset that, ${again}` };
  }
  if (machine.denied) {
    return {
      help: `${defaultAddress} is closed to you: \`sudo usermod -aG docker $USER\`, log in anew, ${again}`,
    };
  }
  if (!machine.root || (!machine.hasEngine && !machine.hasApt)) {
    return {
      help: `install and start Docker (https://docs.docker.com/engine/install/), ${again}`,
    };
  }
  return { install: !machine.hasEngine, start: machine.hasSystemd ? "systemd" : "detached" };
}

export const dockerEngine: Step = {
  name: "Docker engine",
  check: async () => {
    const answer = await ask();
    return "version" in answer ? answer.version : undefined;
  },
  async ways() {
    const decision = decideEngine(await lookAtMachine());
    if ("help" in decision) throw new Error(`Docker engine: ${decision.help}`);
    return [startEngine(decision)];
  },
  help: "read the message above, or start an engine yourself, then run the same command again",
};

function startEngine({ install, start }: Exclude<Decision, { help: string }>): Way {
  return {
    does: `${install ? "install Debian's docker.io and start it" : "start dockerd"}, because no engine answers`,
    async run() {
      if (install) await installPackages("docker.io", "iptables");
      // The package may have started it already.
      if ("version" in (await ask())) return;
      if (start === "systemd") await run(asRoot(["systemctl", "start", "docker"])!);
      else {
        await weighContainers();
        await startDetached();
      }
      await waitForAnswer();
    },
  };
}

type Answer = { version: string } | { error: string };

async function ask(): Promise<Answer> {
  try {
    const silent = sleep(5_000, undefined, { ref: false }).then(() => {
      throw new Error("no answer within 5 s");
    });
    const { Version } = await Promise.race([connectDocker().version(), silent]);
    return { version: `${Version}, ${chooseEndpoint(process.env).address}` };
  } catch (error) {
    return { error: (error as Error).message };
  }
}

async function lookAtMachine(): Promise<Machine> {
  const { address, source } = chooseEndpoint(process.env);
  const answer = await ask();
  return {
    named: address === defaultAddress ? undefined : { address, source },
    denied: "error" in answer && answer.error.includes("EACCES"),
    hasApt: findOnPath("apt-get") !== undefined,
    root: asRoot([]) !== undefined,
    hasEngine: findDockerd() !== undefined,
    hasSystemd: existsSync("/run/systemd/system"),
  };
}

/** Root's programs are not on everybody's PATH. */
function findDockerd(): string | undefined {
  return findOnPath("dockerd", `${process.env.PATH}:/usr/sbin:/usr/local/sbin`);
}

const log = join(cache, "dockerd.log");

/** Gives the group of all containers its share of the processor; the engine makes it otherwise. */
async function weighContainers(): Promise<void> {
  const controller = "/sys/fs/cgroup/cpu";
  // Control groups of version 2 have another tree, and a weight that the engine's start resets.
  if (!existsSync(join(controller, "cpu.shares"))) return;
  const group = join(controller, "docker");
  const script = `mkdir -p ${group} && echo ${CONTAINERS_SHARES} > ${group}/cpu.shares`;
  await run(asRoot(["sh", "-c", script])!);
}

/** In a session of its own, so that it outlives this terminal and its Ctrl-C. */
async function startDetached(): Promise<void> {
  mkdirSync(cache, { recursive: true });
  const output = openSync(log, "a");
  const [command, ...args] = asRoot([findDockerd()!])!;
  const child = spawn(command, args, { detached: true, stdio: ["ignore", output, output] });
  await new Promise((resolve, reject) => child.on("spawn", resolve).on("error", reject));
  child.unref();
}

async function waitForAnswer(): Promise<void> {
  const options = { everyMs: 250, withinMs: STARTED_WITHIN_MS };
  const answer = await poll(ask, (seen) => "version" in seen, options);
  if ("version" in answer) return;
  const tail = existsSync(log) ? readFileSync(log, "utf8").trim().split("\n").slice(-5) : [];
  throw new Error([`${answer.error}; its last words in ${log}:`, ...tail].join("\n    "));
}
