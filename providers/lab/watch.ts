/** Notices containers for which no waiting helps, while somebody waits for them. */
import { setTimeout as delay } from "node:timers/promises";
import type Docker from "dockerode";
import { describeStopped, STILL } from "../../docker/containerState";
import { connectEngine, withoutFrames } from "../../docker/engine";

const LOOK_EVERY_MS = 500;

/** A restart by hand takes less. */
const STILL_FOR_MS = 2000;

/**
 * Docker's pause before a restart begins with 0.1 s and doubles for as long as no run lasts 10 s: one of
 * more than a second follows at least four runs in a row that were short.
 */
const LOOP_PAUSE_MS = 1000;

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

/** Remembers what it saw of each container, to tell a moment from a state. */
export class Watch {
  private readonly past = new Map<string, Past>();

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
      return `${name} ends again and again: restarted ${RestartCount} times, exit code ${State.ExitCode}`;
    }
    return undefined;
  }
}

/**
 * Looks at the containers until the signal aborts.
 *
 * @param names by container id, what it is called in the lab
 * @throws Error that says which of them can't come to serve, why, and what helps
 */
export async function watchContainers(
  names: Record<string, string>,
  stack: string,
  signal: AbortSignal,
): Promise<never> {
  const watch = new Watch();
  const engine = connectEngine();
  for (;;) {
    // An engine that does not answer is for whoever waits to tell, as is a container that is gone.
    const all = await engine.listContainers({ all: true }).catch(() => []);
    for (const { Id } of all.filter((it) => it.Id in names && it.State !== "running")) {
      const container = engine.getContainer(Id);
      const seen = await container.inspect().catch(() => undefined);
      const problem = seen && watch.judge(names[Id], seen, stack, Date.now());
      if (problem) throw new Error(problem + (await readLastWords(container)));
    }
    await delay(LOOK_EVERY_MS, undefined, { signal });
  }
}

/** The container's last line, as the end of a sentence. */
async function readLastWords(container: Docker.Container): Promise<string> {
  const logs = await container.logs({ stdout: true, stderr: true, tail: 1 }).catch(() => undefined);
  const line = logs && withoutFrames(logs).trim();
  return line ? `; its last line: ${line}` : "";
}
