/** Notices containers for which no waiting helps, while somebody waits for them. */
import { setTimeout as delay } from "node:timers/promises";
import type Docker from "dockerode";
import { describeStopped, STILL } from "../../docker/containerState";
import { connectEngine, withoutFrames } from "../../docker/engine";

const LOOK_EVERY_MS = 500;

/** A restart by hand takes less. */
const STILL_FOR_MS = 2000;

/** Restarts by Docker's own policy, each after a longer pause, that make a loop. */
const LOOP = 5;

/** What is read here of a container's inspection. */
export interface Seen {
  Id: string;
  Name: string;
  RestartCount: number;
  State: { Status: string; ExitCode: number; StartedAt: string };
}

/** What was seen of one container at the looks before. */
interface Past {
  restarts: number;
  stillSince?: number;
  /** It may have run between two looks. */
  startedAt?: string;
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
    const past = this.past.get(Id) ?? { restarts: RestartCount };
    this.past.set(Id, past);
    const restarts = RestartCount - past.restarts;
    if (restarts >= LOOP) {
      return `${name} ends again and again: restarted ${restarts} times, exit code ${State.ExitCode}`;
    }
    if (!STILL.includes(State.Status) || past.startedAt !== State.StartedAt) {
      past.stillSince = undefined;
    }
    past.startedAt = State.StartedAt;
    if (STILL.includes(State.Status) && now - (past.stillSince ??= now) >= STILL_FOR_MS) {
      return `${name} ${describeStopped(Name.slice(1), State.Status, stack)}`;
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
