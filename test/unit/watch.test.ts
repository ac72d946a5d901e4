import { findLastWords, Watch, type Seen } from "../../providers/lab/watch";

const seen = (Status: string, RestartCount = 0, StartedAt = "t1"): Seen => ({
  Id: "1",
  Name: "/x-s1",
  RestartCount,
  State: { Status, ExitCode: 3, StartedAt },
});
const way = "start it with: npx pulumi up --refresh --stack dev (or, as it was: docker start x-s1)";
const still = (state: string) => `s1 does not run, its container x-s1 is ${state}; ${way}`;

test.each<[string, [ms: number, seen: Seen][], string | undefined]>([
  ["at its first look", [[0, seen("exited")]], undefined],
  [
    "for 1.9 s",
    [
      [0, seen("exited")],
      [1900, seen("exited")],
    ],
    undefined,
  ],
  [
    "for 2 s",
    [
      [0, seen("exited")],
      [2000, seen("exited")],
    ],
    still("exited"),
  ],
  [
    "never started for 2 s",
    [
      [0, seen("created")],
      [2000, seen("created")],
    ],
    still("created"),
  ],
  [
    "paused for 2 s",
    [
      [0, seen("paused")],
      [2000, seen("paused")],
    ],
    "s1 does not run, its container x-s1 is paused; start it with: docker unpause x-s1",
  ],
  [
    "twice, running between",
    [
      [0, seen("exited")],
      [3000, seen("exited", 0, "t2")],
      [4000, seen("exited", 0, "t2")],
    ],
    undefined,
  ],
  [
    "twice, restarting between",
    [
      [0, seen("exited")],
      [1000, seen("restarting")],
      [2000, seen("exited")],
    ],
    undefined,
  ],
  [
    "restarting, twice in 1.2 s",
    [
      [0, seen("restarting", 3)],
      [1200, seen("restarting", 4, "t2")],
    ],
    undefined,
  ],
  [
    "restarting for less than a second",
    [
      [0, seen("restarting", 4)],
      [999, seen("restarting", 4)],
    ],
    undefined,
  ],
  [
    "restarting for a second",
    [
      [0, seen("restarting", 5)],
      [1000, seen("restarting", 5)],
    ],
    "s1 ends again and again: restarted 5 times, exit code 3; see: docker logs x-s1",
  ],
])("a container that does not run, %s", (_, looks, expected) => {
  const watch = new Watch();
  const judged = looks.map(([at, it]) => watch.judge("s1", it, "dev", at));
  expect(judged.at(-1)).toBe(expected);
});

/** As s6-svdt prints them, each so many seconds after a moment. */
const deaths = (...at: number[]) =>
  at
    .map((s) => `@4${(0x6b0777c0 + s).toString(16).padStart(15, "0")}1911da43 exitcode 1\n`)
    .join("");

const loop = "s1's application ends again and again: exitcode 1";

test.each<[string, string[], string | undefined]>([
  ["never", ["", ""], undefined],
  ["three times", [deaths(0), deaths(0, 1, 2)], undefined],
  ["four times in 9 s", [deaths(0), deaths(0, 3, 6, 9)], loop],
  ["four times in 10 s", [deaths(0), deaths(0, 3, 6, 10)], undefined],
  ["four times in 3 s, at a second look", [deaths(0, 1, 2, 3), deaths(0, 1, 2, 3)], undefined],
  ["once more since", [deaths(0, 1, 2, 3), deaths(0, 1, 2, 3, 4)], loop],
  ["long ago and once more", [deaths(0, 1, 2, 3), deaths(0, 1, 2, 3, 90)], undefined],
])("an application that ended %s", (_, looks, expected) => {
  const watch = new Watch();
  const judged = looks.map((text) => watch.judgeApplication("s1", text));
  expect(judged.at(-1)).toBe(expected);
});

test.each([
  [["serf: ready"], undefined],
  [["app: listening", "serf: joined"], "listening"],
  [
    ["app: TypeError: no such thing", "app:     at main", "app: ", "app: Node.js v20.19"],
    "TypeError: no such thing",
  ],
])("the last words of an application in the log %j", (lines, words) => {
  const log = lines.map((line) => `2026-01-01 10:20:30.123456789  ${line}\n`).join("");
  expect(findLastWords(log)).toBe(words);
});
