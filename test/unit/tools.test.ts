import { describeOutputs } from "../../cli/start";
import { countTests, summarize } from "../../cli/test";

test("outputs that are there are named, in one order", () => {
  expect(
    describeOutputs({
      nodeNames: ["s1", "s2"],
      other: 1,
      statsUrl: "http://127.0.0.1:1936",
      url: "http://127.0.0.1:80",
      nodeUrls: ["http://127.0.0.1:4000", "http://127.0.0.1:4001"],
    }),
  ).toEqual([
    "  The lab                 http://127.0.0.1:80",
    "  HAProxy's statistics    http://127.0.0.1:1936",
    "  Web nodes               s1  s2",
    "  Each node by itself     http://127.0.0.1:4000  http://127.0.0.1:4001",
  ]);
});

const clean = {
  numPassedTests: 5,
  numFailedTests: 0,
  numPendingTests: 1,
  numRuntimeErrorTestSuites: 0,
};
test.each([
  ["all passed", clean, true, { passed: 5, failed: 0, skipped: 1 }],
  ["some failed", { ...clean, numFailedTests: 2 }, false, { passed: 5, failed: 2, skipped: 1 }],
  [
    "a file that did not compile",
    { ...clean, numRuntimeErrorTestSuites: 1 },
    false,
    { passed: 5, failed: 1, skipped: 1 },
  ],
  ["failed otherwise", clean, false, { passed: 5, failed: 1, skipped: 1 }],
  ["no report", undefined, false, { passed: 0, failed: 1, skipped: 0 }],
])("jest's counts: %s", (_, report, succeeded, expected) => {
  expect(countTests(report, succeeded)).toEqual(expected);
});

test("the summary ends with the total alone", () => {
  expect(
    summarize([
      ["types", { passed: 1, failed: 0, skipped: 0 }],
      ["shellcheck", { passed: 0, failed: 0, skipped: 1 }],
      ["unit tests", { passed: 40, failed: 2, skipped: 1 }],
    ]),
  ).toEqual([
    "✓ types: 1 passed, 0 failed",
    "- shellcheck: 0 passed, 0 failed, 1 skipped",
    "✗ unit tests: 40 passed, 2 failed, 1 skipped",
    "41 passed, 2 failed",
  ]);
});
