/** How the lab's resources talk to the balancer's configurator, and how long they wait for it. */
import type { ControlRequest } from "../../configurator/protocol/control";
import { askConfigurator, type Outcome } from "../../configurator/client";
import { poll } from "../../time/poll";
import type { Context } from "../pluginServer";
import { watchContainers } from "./watch";

/** How long an operation may take whose resource does not say, s. */
export const DEFAULT_TIMEOUT_SECONDS = 60;
const RETRY_MS = 100;

/** Asks once; what the configurator says meanwhile is shown as progress of the operation. */
export function ask(
  balancer: string,
  request: ControlRequest,
  { log, signal }: Pick<Context, "log" | "signal">,
  onWaiting?: (names: string[]) => void,
): Promise<Outcome> {
  return askConfigurator(balancer, request, {
    onProgress: (line, waitingFor) => {
      log("info", line, true);
      onWaiting?.(waitingFor);
    },
    signal,
  });
}

/** Asks once, given the ms that are left; undefined if there is nothing to wait for. */
type Attempt = (
  deadlineMs: number,
  ask: (balancer: string, request: ControlRequest) => Promise<Outcome>,
) => Promise<Outcome | undefined>;

/**
 * Asks until it is done: a balancer that is starting, or restarts in the middle, is waited for and
 * asked again.
 *
 * @param containers what is waited for: by container id, what it is called in the lab
 * @throws Error with the configurator's refusal, when the operation's time is over, or when a container
 *   or an application stands still or ends again and again, which is said at once
 */
export async function askUntilDone(
  context: Context,
  containers: Record<string, string>,
  attempt: Attempt,
): Promise<void> {
  const over = new AbortController();
  const signal = AbortSignal.any([context.signal, over.signal]);
  const stack = context.urn.split("::")[0].split(":").at(-1)!;
  let waitingFor: string[] = [];
  try {
    await Promise.race([
      insist({ ...context, signal }, attempt, (names) => (waitingFor = names)),
      watchContainers(containers, () => waitingFor, stack, signal),
    ]);
  } finally {
    over.abort();
  }
}

async function insist(
  { log, signal, timeoutSeconds }: Context,
  attempt: Attempt,
  onWaiting: (names: string[]) => void,
): Promise<void> {
  const seconds = timeoutSeconds || DEFAULT_TIMEOUT_SECONDS;
  const look = (leftMs: number) =>
    attempt(leftMs, (balancer, request) => ask(balancer, request, { log, signal }, onWaiting));
  const outcome = await poll(look, (seen) => seen === undefined || !("unavailable" in seen), {
    everyMs: RETRY_MS,
    withinMs: seconds * 1000,
    signal,
  });
  if (outcome === undefined || "done" in outcome) return;
  if ("refused" in outcome) throw new Error(outcome.refused);
  throw new Error(`no answer from the balancer in ${seconds} s: ${outcome.unavailable}`);
}

/** Container ids by node name, the other way round. */
export function nameById(containers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(containers).map(([name, id]) => [id, name]));
}
