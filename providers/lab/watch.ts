/** Notices containers for which no waiting helps, while somebody waits for them. */
import { setTimeout as delay } from "node:timers/promises";
import type Docker from "dockerode";
import { describeStopped, STILL } from "../../docker/containerState";
import { connectDocker } from "../../docker/connect";
import { runInContainer, withoutFrames } from "../../docker/exec";

const LOOK_EVERY_MS = 500;

/** A restart by hand takes less. */
const STILL_FOR_MS = 2000;

/**
 * Docker's pause before a restart begins with 0.1 s and doubles for as long as no run lasts 10 s: one of
 * more than a second follows at least four runs in a row that were short.
 */
const LOOP_PAUSE_MS = 1000;

/** s6 starts an application again after a second: one that ended so often, within so many s, won't serve. */
const DEATHS = 4;
const DEATHS_WITHIN_S = 10;

/** Prints a line for each of the last ends of the application: when, in TAI64N, and how. */
const LIST_DEATHS = ["s6-svdt", "/etc/s6/app"];

/** Among which an application's last words are looked for. */
const LAST_LINES = 40;

/** What is read here of a container's inspection. */
export interface Seen {
  Id: string;
  Name: string;
  RestartCount: number;
  State: { Status: string; ExitCode: number; StartedAt: string };
}

/** What a container that does not run was last seen as, and since when. */
interface Past {
  seen: Seen;
  since: number;
}

/** One end of an application's process. */
interface Death {
  /** Seconds of a clock of s6's own. */
  at: number;
  /** Such as `exitcode 1` or `signal SIGKILL`. */
  how: string;
}

/** Remembers what it saw of each container, to tell a moment from a state. */
export class Watch {
  private readonly past = new Map<string, Past>();
  private readonly firstDeaths = new Map<string, number>();

  /**
   * Takes what a container that does not run looks like at this moment.
   *
   * @param name what it is called in the lab
   * @param now clock time, ms
   * @returns why waiting does not help, without the container's last words
   */
  judge(name: string, seen: Seen, stack: string, now: number): string | undefined {
    const { Id, Name, RestartCount, State } = seen;
    const past = this.past.get(Id);
    // One that started in between has run, if not for long.
    const isSame =
      past?.seen.State.Status === State.Status && past.seen.State.StartedAt === State.StartedAt;
    const since = isSame ? past.since : now;
    this.past.set(Id, { seen, since });
    if (STILL.includes(State.Status) && now - since >= STILL_FOR_MS) {
      return `${name} ${describeStopped(Name.slice(1), State.Status, stack)}`;
    }
    if (State.Status === "restarting" && now - since >= LOOP_PAUSE_MS) {
      const how = `restarted ${RestartCount} times, exit code ${State.ExitCode}`;
      return `${name} ends again and again: ${how}; see: docker logs ${Name.slice(1)}`;
    }
    return undefined;
  }

  /**
   * Takes how the application of a running container, which does not serve, ended so far.
   *
   * @param deaths what {@link LIST_DEATHS} printed
   * @returns why waiting does not help, without the application's last words
   */
  judgeApplication(name: string, deaths: string): string | undefined {
    const all = parseDeaths(deaths);
    const last = all.at(-1);
    if (last === undefined) return undefined;
    // One that ended only before the first look may be well by now.
    const first = this.firstDeaths.get(name) ?? last.at;
    this.firstDeaths.set(name, first);
    const some = all.slice(-DEATHS);
    const isLoop = some.length === DEATHS && last.at - some[0].at < DEATHS_WITHIN_S;
    return isLoop && last.at > first
      ? `${name}'s application ends again and again: ${last.how}`
      : undefined;
  }
}

function parseDeaths(text: string): Death[] {
  const lines = text.matchAll(/^@4([0-9a-f]{15})[0-9a-f]{8} (.*)$/gm);
  return [...lines].map(([, seconds, how]) => ({ at: parseInt(seconds, 16), how }));
}

/**
 * What a log has of why its application ended: of Node.js the line that names the error, which a stack
 * and the version follow; else the last line.
 *
 * @param log lines as the services' loggers mark them
 */
export function findLastWords(log: string): string | undefined {
  const lines = log.split("\n").flatMap((line) => /^\S+ \S+ +app: (.*\S)/.exec(line)?.[1] ?? []);
  return lines.findLast((line) => /^\w*Error\b/.test(line)) ?? lines.at(-1);
}

/**
 * Looks at the containers until the signal aborts.
 *
 * @param names by container id, what it is called in the lab
 * @param waitingFor the names of those whose application does not serve, now
 * @throws Error that says which of them can't come to serve, why, and what helps
 */
export async function watchContainers(
  names: Record<string, string>,
  waitingFor: () => readonly string[],
  stack: string,
  signal: AbortSignal,
): Promise<never> {
  const watch = new Watch();
  const docker = connectDocker();
  for (let turn = 0; ; turn++) {
    // An engine that does not answer is for whoever waits to tell, as is a container that is gone.
    const all = await docker.listContainers({ all: true }).catch(() => []);
    const awaited = all.filter(({ Id }) => Id in names);
    const running = awaited.filter(({ State }) => State === "running");
    const unserved = running.filter(({ Id }) => waitingFor().includes(names[Id]));
    // One at a look, in turn: many nodes that start at once have no processor to spare.
    for (const { Id, Names } of unserved.slice(turn % unserved.length).slice(0, 1)) {
      const container = docker.getContainer(Id);
      const deaths = await runInContainer(container, LIST_DEATHS, { user: "root", signal }).catch(
        () => undefined,
      );
      const problem = deaths && watch.judgeApplication(names[Id], deaths.stdout);
      if (problem) {
        const words = findLastWords(await readLog(container, LAST_LINES));
        const said = words ? `; it said: ${words}` : "";
        throw new Error(`${problem}${said}; see: docker logs ${Names[0].slice(1)}`);
      }
    }
    for (const { Id } of awaited.filter(({ State }) => State !== "running")) {
      const container = docker.getContainer(Id);
      const seen = await container.inspect().catch(() => undefined);
      const problem = seen && watch.judge(names[Id], seen, stack, Date.now());
      if (problem) throw new Error(problem + describeLastLine(await readLog(container, 1)));
    }
    await delay(LOOK_EVERY_MS, undefined, { signal });
  }
}

/** The container's last lines; none when the engine does not give them. */
async function readLog(container: Docker.Container, tail: number): Promise<string> {
  const logs = await container.logs({ stdout: true, stderr: true, tail }).catch(() => undefined);
  return logs ? withoutFrames(logs).trim() : "";
}

const describeLastLine = (line: string) => (line ? `; its last line: ${line}` : "");
