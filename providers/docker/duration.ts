/** Durations as the program writes them, in whole seconds or milliseconds. */
export const DURATION = /^(\d+)(m?s)$/;

/** Nanoseconds of a duration, as the engine has it; undefined if it is none. */
export function parseDuration(text: string): number | undefined {
  const [, amount, unit] = DURATION.exec(text) ?? [];
  return amount === undefined ? undefined : Number(amount) * (unit === "s" ? 1e9 : 1e6);
}

export function formatDuration(nanoseconds = 0): string {
  return nanoseconds % 1e9 === 0 ? `${nanoseconds / 1e9}s` : `${nanoseconds / 1e6}ms`;
}
