import { execFileSync } from "node:child_process";

const COUNTS = require.resolve("../support/counts.mjs");

test.each([
  [
    { numPassedTests: 40, numFailedTests: 2, numRuntimeErrorTestSuites: 0 },
    "40 passed, 2 failed\n",
  ],
  [
    { numPassedTests: 40, numFailedTests: 0, numRuntimeErrorTestSuites: 1 },
    "40 passed, 1 failed\n",
  ],
])("a run of the tests ends with its counts: %j", (results, expected) => {
  const script = `import(${JSON.stringify(COUNTS)}).then(({ default: Counts }) =>
    new Counts().onRunComplete(undefined, ${JSON.stringify(results)}))`;
  expect(execFileSync(process.execPath, ["--eval", script], { encoding: "utf8" })).toBe(expected);
});
