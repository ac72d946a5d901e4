/**
 * Keeps the SDK from formatting a stack trace for each promise behind an output, some 200 for a
 * container, in case it leaks: through the source maps that was a third of a preview of 50 nodes.
 * With PULUMI_DEBUG_PROMISE_LEAKS, which shows these traces, all stays as it is.
 */
export function skipPromiseTraces(): void {
  const format = Error.prepareStackTrace?.bind(Error);
  if (!format || process.env.PULUMI_DEBUG_PROMISE_LEAKS) return;
  Error.prepareStackTrace = (error, frames) =>
    frames[0]?.getFunctionName() === "debuggablePromise" ? "" : (format(error, frames) as unknown);
}
