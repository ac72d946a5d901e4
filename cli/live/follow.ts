import { setTimeout as delay } from "node:timers/promises";
import { watchConfigurator } from "../../configurator/client";
import type { Lab, LabContainer } from "../../state/inventory";
import { listBalancers } from "../lab";
import { advance, type Input, type LabState, NOTHING_YET } from "./model";
import type { LabStates } from "./view";

const FIRST_RETRY_MS = 200;
const LONGEST_RETRY_MS = 1000;
/** While a balancer is missing, how often is looked which there are. */
const LOOK_EVERY_MS = 1000;
/** Samples come far more often: silence is a balancer that is paused, or hangs. */
const SILENT_MS = 3000;

/**
 * Follows all balancers of a lab, also when an update makes two of one or one of two.
 *
 * @param look finds the lab
 * @param onChange takes each new state
 * @param signal ends it
 * @throws what the first look does
 */
export async function followLab(
  look: () => Promise<Lab>,
  onChange: (states: LabStates) => void,
  signal: AbortSignal,
): Promise<void> {
  const ends = new Map<string, AbortController>();
  const followed: Promise<void>[] = [];
  let states: LabStates = {};
  const follow = (lab: Lab) => {
    const balancers = listBalancers(lab).filter(({ isElsewhere }) => !isElsewhere);
    // In the middle of an update there may be none; they are back, or others are.
    if (balancers.length === 0) return;
    const places = new Set(balancers.map(placeOf));
    for (const [place, end] of ends) {
      if (places.has(place)) continue;
      end.abort();
      ends.delete(place);
    }
    states = Object.fromEntries(balancers.map(({ name }) => [name, states[name] ?? NOTHING_YET]));
    for (const balancer of balancers.filter((it) => !ends.has(placeOf(it)))) {
      const { name } = balancer;
      const end = new AbortController();
      ends.set(placeOf(balancer), end);
      const take = (state: LabState) => {
        if (!end.signal.aborted) onChange((states = { ...states, [name]: state }));
      };
      const both = AbortSignal.any([signal, end.signal]);
      followed.push(followBalancer(placeOf(balancer), take, both));
    }
  };
  follow(await look());
  while (!signal.aborted) {
    await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    if (areAll(states)) continue;
    await look().then(follow, () => undefined);
  }
  await Promise.all(followed);
}

/** What finds a balancer's container, also the next one of its name; a task's is another one each time. */
const placeOf = ({ id, containerName, engine }: LabContainer) =>
  engine === undefined ? containerName : id;

/** Whether each balancer answers, and gossip knows of no other. */
function areAll(states: LabStates): boolean {
  return Object.values(states).every(
    ({ connection, views }) =>
      connection.isUp &&
      (views?.members ?? []).every(
        ({ name, role, status }) => role !== "balancer" || status !== "alive" || name in states,
      ),
  );
}

/**
 * Follows one balancer through its restarts, and through new containers of the same name.
 *
 * @param container its name or id
 */
async function followBalancer(
  container: string,
  onChange: (state: LabState) => void,
  signal: AbortSignal,
): Promise<void> {
  let state = NOTHING_YET;
  const take = (input: Input) => onChange((state = advance(state, input)));
  let pause = FIRST_RETRY_MS;
  while (!signal.aborted) {
    const reason = await watchOnce(container, take, signal, () => (pause = FIRST_RETRY_MS));
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
