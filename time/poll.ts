/** Waiting for what tells nobody when it comes. Own: the kept libraries for it are ESM only, and larger. */
import { setTimeout as delay } from "node:timers/promises";

export interface PollOptions {
  everyMs: number;
  /** There is one look at least, also where no time is left. */
  withinMs: number;
  /** Ends the wait with an AbortError; a look under way is awaited. */
  signal?: AbortSignal;
}

/**
 * Looks again and again, until what it sees is enough or the time is over.
 *
 * @param look given the ms that are left; what it throws ends the wait
 * @returns the last look, which the caller judges
 */
export async function poll<T>(
  look: (leftMs: number) => Promise<T>,
  isEnough: (seen: T) => boolean,
  { everyMs, withinMs, signal }: PollOptions,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const seen = await look(deadline - performance.now());
    if (isEnough(seen) || performance.now() > deadline) return seen;
    await delay(everyMs, undefined, { signal });
  }
}
