import { Pacer } from "../../images/ha/configurator/pacer";

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

/** A pacer whose every call applies something, which takes so long. */
function applying(takesMs = 0): Pacer {
  const pacer = new Pacer(async (reason) => {
    record(reason);
    if (takesMs > 0) await new Promise((resolve) => setTimeout(resolve, takesMs));
    pacer.applied();
  });
  return pacer;
}

async function pokeEvery(pacer: Pacer, ms: number, count: number): Promise<void> {
  for (let i = 1; i <= count; i++) {
    pacer.poke(`event ${i}`);
    await until(now() + ms);
  }
}

test("the first poke counts at once", async () => {
  applying().poke("join");
  await until(19);
  expect(calls).toEqual([]);
  await until(60_000);
  expect(calls).toEqual([[20, "join"]]);
});

test("pokes of one moment are one call, with each reason once", async () => {
  const pacer = applying();
  for (const reason of ["join", "announce", "join"]) pacer.poke(reason);
  await until(19);
  pacer.poke("leave");
  await until(60_000);
  expect(calls).toEqual([[20, "join, announce, leave"]]);
});

test("twenty pokes in a second are four calls, the last after the last poke", async () => {
  await pokeEvery(applying(), 50, 20);
  await until(60_000);
  const numbers = (from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, i) => `event ${from + i}`).join(", ");
  expect(calls).toEqual([
    [20, "event 1"],
    [270, numbers(2, 6)],
    [770, numbers(7, 16)],
    [1770, numbers(17, 20)],
  ]);
});

test.failing("the same when an apply takes long", async () => {
  await pokeEvery(applying(400), 50, 20);
  await until(60_000);
  expect(calls.length).toBeLessThanOrEqual(4);
  expect(calls.at(-1)).toEqual([expect.any(Number), expect.stringMatching(/event 20$/)]);
  expect(calls.at(-1)?.[0]).toBeGreaterThan(950);
});

test("however long the burst, two seconds are the longest pause", async () => {
  await pokeEvery(applying(), 100, 100);
  await until(60_000);
  expect(times()).toEqual([20, 270, 770, 1770, 3770, 5770, 7770, 9770, 11_770]);
});

test("one alone after a burst counts at once, and begins anew", async () => {
  const pacer = applying();
  await pokeEvery(pacer, 50, 20);
  await until(10_000);
  calls = [];
  pacer.poke("alone");
  await until(10_100);
  pacer.poke("another");
  await until(60_000);
  expect(calls).toEqual([
    [10_020, "alone"],
    [10_270, "another"],
  ]);
});

test("looks that apply nothing are not held back", async () => {
  const pacer = new Pacer(async (reason) => record(reason));
  await pokeEvery(pacer, 100, 3);
  expect(times()).toEqual([20, 120, 220]);
});

test("an error is logged, and the next poke counts", async () => {
  const log = jest.spyOn(console, "error").mockImplementation();
  const pacer = new Pacer(async (reason) => {
    record(reason);
    throw new Error(`no ${reason}`);
  });
  await pokeEvery(pacer, 100, 2);
  expect(log.mock.calls).toEqual([["no event 1"], ["no event 2"]]);
  expect(times()).toEqual([20, 120]);
});
