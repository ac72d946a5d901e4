import { poll } from "../../time/poll";

const options = { everyMs: 1, withinMs: 10_000 };

/** A look that sees 1, then 2, then 3, … */
function count(): () => Promise<number> {
  let seen = 0;
  return async () => ++seen;
}

test("the look that is enough ends the wait", async () => {
  expect(await poll(count(), (seen) => seen === 3, options)).toBe(3);
});

test("when the time is over the last look is given, and there is one without any time", async () => {
  expect(await poll(count(), () => false, { ...options, withinMs: -1 })).toBe(1);
  const last = await poll(count(), () => false, { everyMs: 50, withinMs: 300 });
  expect(last).toBeGreaterThan(1);
});

test("a look is told how long there still is", async () => {
  const left: number[] = [];
  const look = async (leftMs: number) => left.push(leftMs);
  await poll(look, (looks) => looks === 2, options);
  expect(left[0]).toBeGreaterThan(left[1]);
  expect(left[1]).toBeGreaterThan(0);
});

test("an error or an abort ends the wait at once", async () => {
  const look = async () => Promise.reject(new Error("broken"));
  await expect(poll(look, Boolean, options)).rejects.toThrow("broken");
  const interruption = new AbortController();
  const waiting = poll(count(), () => false, { ...options, signal: interruption.signal });
  interruption.abort();
  await expect(waiting).rejects.toThrow(/aborted/);
});
