import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { parseMembers } from "../../configurator/serf";
import { paths } from "../../configurator/paths";
import { logEvent } from "../../configurator/serfLog";

const SOURCE = "images/base/rootfs/usr/local/bin/serf-event";

/** The container's files, in a folder of the test's. */
let root: string;
let log: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "serf-event-"));
  log = join(root, "serf.log");
  const handler = readFileSync(SOURCE, "utf8")
    .replaceAll("/var/log/serf.log", log)
    .replaceAll("/run/serf/", `${root}/`);
  expect(handler).not.toMatch(/\/(var|run)\//);
  writeFileSync(join(root, "serf-event"), handler);
  writeFileSync(log, "");
  // The image's awk, which knows less than others and has its own way with bytes.
  mkdirSync(join(root, "bin"));
  const mawk = execFileSync("sh", ["-c", "command -v mawk"], { encoding: "utf8" }).trim();
  symlinkSync(mawk, join(root, "bin/awk"));
});
afterEach(() => rmSync(root, { recursive: true }));

type Writer = (event: string, input: string | Buffer, query?: string) => void;

/** In a node Serf's handler writes the log, */
const handle: Writer = (event, input, query) => {
  const { status, stdout, stderr } = spawnSync("awk", ["-f", join(root, "serf-event")], {
    env: {
      PATH: `${join(root, "bin")}:${process.env.PATH}`,
      SERF_EVENT: event,
      ...(query !== undefined && { SERF_QUERY_NAME: query }),
    },
    input,
    encoding: "utf8",
    timeout: 20_000,
  });
  expect({ status, stderr, stdout }).toEqual({ status: 0, stderr: "", stdout: "" });
};

/** in a balancer the configurator does. */
const configurator: Writer = (event, input, query = event) =>
  logEvent(
    { event: query, members: parseMembers(input.toString()) },
    { ...paths, serfLog: log, oldSerfLog: join(root, "serf.log.1") },
  );

/** What was logged since the last look, without the times, which are now. */
function logged(): string[] {
  const lines = readFileSync(log, "latin1").split("\n");
  expect(lines.pop()).toBe("");
  writeFileSync(log, "");
  return lines.map((line) => {
    const [time, ...rest] = line.split(" ");
    expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    expect(Math.abs(Date.parse(time) - Date.now())).toBeLessThan(60_000);
    return rest.join(" ");
  });
}

const TAGS = "role=backend,origin=hand,boot=b1";
const entry = (event: string, name: string, rest = 'address="10.0.0.1" role="backend" boot="b1"') =>
  `${event} name="${name}" ${rest}`;

describe.each<[string, Writer]>([
  ["serf-event", handle],
  ["the configurator", configurator],
])("%s", (_who, write) => {
  test.each([
    ["member-join", undefined, "member-join"],
    ["member-failed", undefined, "member-failed"],
    ["query", "announce", "announce"],
  ])("%s %s is a line", (event, query, word) => {
    write(event, `s1\t10.0.0.1\tbackend\t${TAGS}\n`, query);
    expect(logged()).toEqual([entry(word, "s1")]);
  });

  test("each member is a line, after those that are there", () => {
    write("member-join", `s1\t10.0.0.1\tbackend\t${TAGS}\ns2\t10.0.0.1\tbackend\t${TAGS}\n`);
    write("member-leave", `s1\t10.0.0.1\tbackend\t${TAGS}\n`);
    expect(logged()).toEqual([
      entry("member-join", "s1"),
      entry("member-join", "s2"),
      entry("member-leave", "s1"),
    ]);
  });

  test.each<[string, string, string]>([
    ["quotes", 'a"},{"host":"x', 'a\\"},{\\"host\\":\\"x'],
    ["backslashes", "a\\b\\\\", "a\\\\b\\\\\\\\"],
    ["a quote behind a backslash", '\\"', '\\\\\\"'],
    ["Serf's escapes of tab and newline", "a\\tb\\nc", "a\\\\tb\\\\nc"],
    ["a line of the log's own form", 's1" address="6.6.6.6', 's1\\" address=\\"6.6.6.6'],
    ["control characters", "a\x01\x1b[2Jb\r\x0b\x7f", "a??[2Jb???"],
    ["a zero byte", "a\0b", "a?b"],
    ["UTF-8", "né😀", "n??????"],
    ["an ampersand, which awk replaces by", "a&b\\&", "a&b\\\\&"],
    ["percent signs and dollars", "%s%n$1$(id)`id`", "%s%n$1$(id)`id`"],
    ["spaces", "  a  b  ", "  a  b  "],
    ["nothing", "", ""],
    ["300 characters", "x".repeat(300), "x".repeat(200)],
    ["300 characters of UTF-8", "é".repeat(300), "?".repeat(200)],
  ])("a name of %s is one quoted, printable word", (_what, name, quoted) => {
    write("member-join", `${name}\t10.0.0.1\tbackend\t${TAGS}\n`);
    expect(logged()).toEqual([entry("member-join", quoted)]);
  });

  const QUOTED = /^member-join( (name|address|role|boot)="([^"\\]|\\["\\])*"){4}$/;

  test.each([`x${'"'.repeat(150)}`, `x${"\\".repeat(150)}`, `${"x".repeat(199)}"`])(
    "a long name is not cut inside an escape: %s",
    (name) => {
      write("member-join", `${name}\t10.0.0.1\tbackend\t${TAGS}\n`);
      for (const line of logged()) expect(line).toMatch(QUOTED);
    },
  );

  test.each([
    ["a role with quotes", 's1\t10.0.0.1\tx"\tboot=b1', 'address="10.0.0.1" role="x\\"" boot="b1"'],
    ["an address that is none", 's1\t"\tx\tboot=b1', 'address="\\"" role="x" boot="b1"'],
    ["a boot with quotes", 's1\t1\tx\tboot="b\\', 'address="1" role="x" boot="\\"b\\\\"'],
    ["another tag's name that ends alike", "s1\t1\tx\treboot=b0", 'address="1" role="x" boot=""'],
    ["a boot among tags", "s1\t1\tx\ta=1,boot=b1,c=2", 'address="1" role="x" boot="b1"'],
    ["a boot with an equals sign", "s1\t1\tx\tboot=a=b", 'address="1" role="x" boot="a=b"'],
    ["no tags", "s1\t1\tx", 'address="1" role="x" boot=""'],
    ["a name alone", "s1", 'address="" role="" boot=""'],
    ["a fifth field", "s1\t1\tx\tboot=b1\ty", 'address="1" role="x" boot="b1"'],
  ])("%s", (_what, input, rest) => {
    write("member-join", `${input}\n`);
    expect(logged()).toEqual([entry("member-join", "s1", rest)]);
  });

  test("whatever members are called, each is one line of the log", () => {
    const quoted = (text: string) =>
      Buffer.from(text)
        .toString("latin1")
        .replace(/[^ -~]/g, "?")
        .replace(/["\\]/g, "\\$&");
    // What Serf passes on: it has escaped tabs and newlines.
    const bits = fc.constantFrom(
      '"',
      "\\",
      "\\t",
      "\\n",
      "\x01",
      "\x1b",
      "\r",
      "é",
      "😀",
      "&",
      " ",
    );
    const word = fc
      .array(fc.oneof(bits, fc.string({ unit: "grapheme-ascii", maxLength: 8 })), { maxLength: 12 })
      .map((parts) => parts.join(""));
    const members = fc.array(fc.record({ name: word, address: word, role: word }), {
      minLength: 1,
      maxLength: 50,
    });
    fc.assert(
      fc.property(members, (all) => {
        const lines = all.map(({ name, address, role }) => `${name}\t${address}\t${role}\t${TAGS}`);
        write("member-join", `${lines.join("\n")}\n`);
        expect(logged()).toEqual(
          all.map(({ name, address, role }) =>
            entry(
              "member-join",
              quoted(name),
              `address="${quoted(address)}" role="${quoted(role)}" boot="b1"`,
            ),
          ),
        );
      }),
      { numRuns: 30 },
    );
  });

  test("a log that has grown long is put aside", () => {
    const old = "x".repeat(2 ** 20 + 1);
    writeFileSync(log, old);
    write("member-join", `s1\t10.0.0.1\tbackend\t${TAGS}\n`);
    expect(readFileSync(join(root, "serf.log.1"), "utf8")).toBe(old);
    expect(statSync(log).size).toBeLessThan(200);
    expect(logged()).toEqual([entry("member-join", "s1")]);
  });
});

test("a member that is asked to join again has the asker's address ready for serf-join", () => {
  handle("query", `s2\t10.0.0.2\tbackend\t${TAGS}\n`, "rejoin");
  expect(readFileSync(join(root, "rejoin"), "utf8")).toBe("10.0.0.2\n");
  rmSync(join(root, "rejoin"));
  handle("query", "nothing that has an address\n\n", "rejoin");
  expect(existsSync(join(root, "rejoin"))).toBe(false);
});

test("a name of invalid UTF-8 is shown byte by byte", () => {
  const name = Buffer.from([0xff, 0x61, 0xc3, 0x80, 0xfe]);
  handle("member-join", Buffer.concat([name, Buffer.from(`\t10.0.0.1\tbackend\t${TAGS}\n`)]));
  expect(logged()).toEqual([entry("member-join", "?a???")]);
});
