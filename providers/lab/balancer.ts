/** How the lab's resources talk to the balancer's configurator, and how long they wait for it. */
import { setTimeout as delay } from "node:timers/promises";
import type { ControlRequest } from "../../configurator/protocol/control";
import { askConfigurator, type Outcome } from "../../configurator/client";
import type { Context } from "../pluginServer";

const DEFAULT_TIMEOUT_SECONDS = 60;
const RETRY_MS = 100;

/** Asks once; what the configurator says meanwhile is shown as progress of the operation. */
export function ask(
  balancer: string,
  request: ControlRequest,
  { log, signal }: Context,
): Promise<Outcome> {
  return askConfigurator(balancer, request, {
    onProgress: (line) => log("info", line, true),
    signal,
  });
}

/**
 * Asks until it is done: a balancer that is starting, or restarts in the middle, is waited for and
 * asked again.
 *
 * @param attempt asks once, given the ms that are left; undefined if there is nothing to wait for
 * @throws Error with the configurator's refusal, or when the operation's time is over
 */
export async function askUntilDone(
  { signal, timeoutSeconds }: Context,
  attempt: (deadlineMs: number) => Promise<Outcome | undefined>,
): Promise<void> {
  const seconds = timeoutSeconds || DEFAULT_TIMEOUT_SECONDS;
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const outcome = await attempt(deadline - Date.now());
    if (outcome === undefined || "done" in outcome) return;
    if ("refused" in outcome) throw new Error(outcome.refused);
    if (Date.now() > deadline) {
      throw new Error(`no answer from the balancer in ${seconds} s: ${outcome.unavailable}`);
    }
    await delay(RETRY_MS, undefined, { signal });
  }
}
