import { setTimeout as delay } from "node:timers/promises";
import { watchConfigurator } from "../../configurator/client";
import { advance, type Input, type LabState, NOTHING_YET } from "./model";

const FIRST_RETRY_MS = 200;
const LONGEST_RETRY_MS = 1000;
/** Samples come far more often: silence is a balancer that is paused, or hangs. */
const SILENT_MS = 3000;

/**
 * Follows a lab through its balancer's restarts, and through new ones of the same name.
 *
 * @param balancer name of its container
 * @param onChange takes each new state
 * @param signal ends it
 */
export async function followLab(
  balancer: string,
  onChange: (state: LabState) => void,
  signal: AbortSignal,
): Promise<void> {
  let state = NOTHING_YET;
  const take = (input: Input) => onChange((state = advance(state, input)));
  let pause = FIRST_RETRY_MS;
  while (!signal.aborted) {
    const reason = await watchOnce(balancer, take, signal, () => (pause = FIRST_RETRY_MS));
    if (signal.aborted) return;
    take({ connected: false, reason, at: Date.now() });
    await delay(pause, undefined, { signal }).catch(() => undefined);
    pause = Math.min(2 * pause, LONGEST_RETRY_MS);
  }
}

/** @returns why it ended */
async function watchOnce(
  balancer: string,
  take: (input: Input) => void,
  signal: AbortSignal,
  onConnected: () => void,
): Promise<string> {
  const silence = new AbortController();
  const watchdog = setTimeout(
    () => silence.abort(new Error(`nothing for ${SILENT_MS / 1000} s`)),
    SILENT_MS,
  );
  try {
    return await watchConfigurator(
      balancer,
      (reply) => {
        watchdog.refresh();
        onConnected();
        take({ connected: true, reason: "", at: Date.now() });
        take(reply);
      },
      AbortSignal.any([signal, silence.signal]),
    );
  } catch (error) {
    return (error as Error).message;
  } finally {
    clearTimeout(watchdog);
  }
}
