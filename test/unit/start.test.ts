import { spawnSync } from "node:child_process";
import { chooseFrom } from "../../cli/stack";
import { describeNext, describeOutputs } from "../../cli/start";

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

test("what to try next names the stack where it is not the selected one", () => {
  expect(describeNext(3).split("\n").slice(3)).toEqual([
    "  npx pulumi config set nodeCount 3 && npx pulumi up    another number of nodes",
    "  npx pulumi preview --diff                             what the next up would change",
    "  npx pulumi destroy                                    take the lab down",
  ]);
  expect(describeNext(3, "second")).toContain("  npx pulumi destroy --stack second  ");
});

const stacks = [
  { name: "second", current: true, resourceCount: 0 },
  { name: "third", current: false, resourceCount: 0 },
];
test.each([
  ["the named one", stacks, "third", "third"],
  ["else the selected one", stacks, undefined, "second"],
  ["else dev", [], undefined, "dev"],
])("npm start: %s", (_, there, asked, stack) => {
  expect(chooseFrom(there, asked)).toBe(stack);
});

test("a stack that there is not is refused", () => {
  expect(() => chooseFrom(stacks, "fourth")).toThrow(
    "--stack: got fourth, expected one of the stacks that there are: second, third",
  );
});

test.each([
  [["--help"], /^usage: npm start \[-- --stack NAME\]\n/],
  [["--nosuch"], /Unknown option '--nosuch'/],
])("npm start -- %s deploys nothing", (args, said) => {
  const script = ["--require", "tsx/cjs", "cli/start.ts", ...args];
  const { stdout, stderr, status } = spawnSync(process.execPath, script, { encoding: "utf8" });
  expect(stdout + stderr).toMatch(said);
  expect(status).toBe(args[0] === "--help" ? 0 : 2);
});
