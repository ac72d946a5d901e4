import { RateLimiter } from "../../configurator/rateLimiter";

/** When each call came, ms since the test's begin, and with what. */
let calls: [at: number, reason: string][];
let begin: number;

beforeEach(() => {
  jest.useFakeTimers();
  calls = [];
  begin = Date.now();
});
afterEach(() => {
  jest.restoreAllMocks();
  jest.useRealTimers();
});

const now = () => Date.now() - begin;
const until = (at: number) => jest.advanceTimersByTimeAsync(at - now());
const times = () => calls.map(([at]) => at);

function record(reason: string): void {
  calls.push([now(), reason]);
}

/** A rate limiter whose every call applies something, which takes so long. */
function applying(takesMs = 0): RateLimiter {
  const rateLimiter = new RateLimiter(async (reason) => {
    record(reason);
    if (takesMs > 0) await new Promise((resolve) => setTimeout(resolve, takesMs));
    rateLimiter.applied();
  });
  return rateLimiter;
}

async function triggerEvery(rateLimiter: RateLimiter, ms: number, count: number): Promise<void> {
  for (let i = 1; i <= count; i++) {
    rateLimiter.trigger(`event ${i}`);
    await until(now() + ms);
  }
}

test("the first trigger counts at once", async () => {
  applying().trigger("join");
  await until(19);
  expect(calls).toEqual([]);
  await until(60_000);
  expect(calls).toEqual([[20, "join"]]);
});

test("triggers of one moment are one call, with each reason once", async () => {
  const rateLimiter = applying();
  for (const reason of ["join", "announce", "join"]) rateLimiter.trigger(reason);
  await until(19);
  rateLimiter.trigger("leave");
  await until(60_000);
  expect(calls).toEqual([[20, "join, announce, leave"]]);
});

// The pauses are a matter of taste; what they are for is not.
const EVENTS = Array.from({ length: 20 }, (_, i) => `event ${i + 1}`);
const pauses = () => times().flatMap((at, i) => (i === 0 ? [] : [at - times()[i - 1]]));

test("twenty triggers in a second are four calls at most, the last after the last trigger", async () => {
  await triggerEvery(applying(), 50, 20);
  await until(60_000);
  expect(times().length).toBeLessThanOrEqual(4);
  expect(times()[0]).toBe(20);
  expect(times().at(-1)).toBeGreaterThan(950);
  expect(calls.flatMap(([, reason]) => reason.split(", "))).toEqual(EVENTS);
});

test("the same when an apply takes long", async () => {
  await triggerEvery(applying(400), 50, 20);
  await until(60_000);
  expect(times().length).toBeLessThanOrEqual(4);
  expect(times().at(-1)).toBeGreaterThan(950);
  expect(calls.flatMap(([, reason]) => reason.split(", "))).toEqual(EVENTS);
});

test("a long burst is applied further and further apart, but every few seconds", async () => {
  await triggerEvery(applying(), 100, 300);
  await until(60_000);
  const [first, second, ...more] = pauses();
  expect(second).toBeGreaterThan(first);
  expect(more).toEqual([...more].sort((a, b) => a - b));
  expect(more.at(-1)).toBe(more.at(-2));
  expect(more.at(-1)).toBeLessThan(5000);
});

test("one alone after a burst counts at once, and begins anew", async () => {
  const rateLimiter = applying();
  await triggerEvery(rateLimiter, 50, 20);
  const [first] = pauses();
  await until(20_000);
  calls = [];
  rateLimiter.trigger("alone");
  await until(20_100);
  rateLimiter.trigger("another");
  await until(60_000);
  expect(calls).toEqual([
    [20_020, "alone"],
    [20_020 + first, "another"],
  ]);
});

test("looks that apply nothing are not held back", async () => {
  const rateLimiter = new RateLimiter(async (reason) => record(reason));
  await triggerEvery(rateLimiter, 100, 3);
  expect(times()).toEqual([20, 120, 220]);
});

test("an error is logged, and the next trigger counts", async () => {
  const log = jest.spyOn(console, "error").mockImplementation();
  const rateLimiter = new RateLimiter(async (reason) => {
    record(reason);
    throw new Error(`no ${reason}`);
  });
  await triggerEvery(rateLimiter, 100, 2);
  expect(log.mock.calls).toEqual([["no event 1"], ["no event 2"]]);
  expect(times()).toEqual([20, 120]);
});
