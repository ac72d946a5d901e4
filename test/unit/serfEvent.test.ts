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
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { parseGossipEvent } from "../../configurator/serf";

const SOURCE = "images/base/rootfs/usr/local/bin/serf-event";

/** The container's files, in a folder of the test's. */
let root: string;
let log: string;
let socket: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "serf-event-"));
  log = join(root, "serf.log");
  socket = join(root, "gossip.sock");
  const handler = readFileSync(SOURCE, "utf8")
    .replaceAll("/var/log/serf.log", log)
    .replaceAll("/run/configurator/gossip.sock", socket)
    .replaceAll("/run/serf/", `${root}/`)
    // A busy machine is not what is tested.
    .replace("timeout 2 ", "timeout 20 ");
  expect(handler).not.toMatch(/\/(var|run)\//);
  writeFileSync(join(root, "serf-event"), handler);
  writeFileSync(log, "");
  // The image's awk, which knows less than others and has its own way with bytes.
  mkdirSync(join(root, "bin"));
  const mawk = execFileSync("sh", ["-c", "command -v mawk"], { encoding: "utf8" }).trim();
  symlinkSync(mawk, join(root, "bin/awk"));
});
afterEach(() => rmSync(root, { recursive: true }));

function handle(event: string, input: string | Buffer, query?: string) {
  const { status, stdout, stderr } = spawnSync("sh", [join(root, "serf-event")], {
    env: {
      PATH: `${join(root, "bin")}:${process.env.PATH}`,
      SERF_EVENT: event,
      ...(query !== undefined && { SERF_QUERY_NAME: query }),
    },
    input,
    encoding: "utf8",
    timeout: 20_000,
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return stdout;
}

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

test.each([
  ["member-join", undefined, "member-join"],
  ["member-failed", undefined, "member-failed"],
  ["query", "announce", "announce"],
])("%s %s is a line", (event, query, word) => {
  expect(handle(event, `s1\t10.0.0.1\tbackend\t${TAGS}\n`, query)).toBe("");
  expect(logged()).toEqual([entry(word, "s1")]);
});

test("a member that is asked to join again has the asker's address ready for serf-join", () => {
  expect(handle("query", `s2\t10.0.0.2\tbackend\t${TAGS}\n`, "rejoin")).toBe("");
  expect(readFileSync(join(root, "rejoin"), "utf8")).toBe("10.0.0.2\n");
  rmSync(join(root, "rejoin"));
  handle("query", "nothing that has an address\n\n", "rejoin");
  expect(existsSync(join(root, "rejoin"))).toBe(false);
});

test("each member is a line, after those that are there", () => {
  handle("member-join", `s1\t10.0.0.1\tbackend\t${TAGS}\ns2\t10.0.0.1\tbackend\t${TAGS}\n`);
  handle("member-leave", `s1\t10.0.0.1\tbackend\t${TAGS}\n`);
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
  handle("member-join", `${name}\t10.0.0.1\tbackend\t${TAGS}\n`);
  expect(logged()).toEqual([entry("member-join", quoted)]);
});

test("a name of invalid UTF-8 is shown byte by byte", () => {
  const name = Buffer.from([0xff, 0x61, 0xc3, 0x80, 0xfe]);
  handle("member-join", Buffer.concat([name, Buffer.from(`\t10.0.0.1\tbackend\t${TAGS}\n`)]));
  expect(logged()).toEqual([entry("member-join", "?a???")]);
});

const QUOTED = /^member-join( (name|address|role|boot)="([^"\\]|\\["\\])*"){4}$/;

test.each([`x${'"'.repeat(150)}`, `x${"\\".repeat(150)}`, `${"x".repeat(199)}"`])(
  "a long name is not cut inside an escape: %s",
  (name) => {
    handle("member-join", `${name}\t10.0.0.1\tbackend\t${TAGS}\n`);
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
  handle("member-join", `${input}\n`);
  expect(logged()).toEqual([entry("member-join", "s1", rest)]);
});

test("whatever members are called, each is one line of the log", () => {
  const quoted = (text: string) =>
    Buffer.from(text)
      .toString("latin1")
      .replace(/[^ -~]/g, "?")
      .replace(/["\\]/g, "\\$&");
  // What Serf passes on: it has escaped tabs and newlines.
  const bits = fc.constantFrom('"', "\\", "\\t", "\\n", "\x01", "\x1b", "\r", "é", "😀", "&", " ");
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
      handle("member-join", `${lines.join("\n")}\n`);
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
  handle("member-join", `s1\t10.0.0.1\tbackend\t${TAGS}\n`);
  expect(readFileSync(join(root, "serf.log.1"), "utf8")).toBe(old);
  expect(statSync(log).size).toBeLessThan(200);
  expect(logged()).toEqual([entry("member-join", "s1")]);
});

describe("with a configurator", () => {
  let server: Server;
  beforeEach(async () => {
    // The handler looks whether there is a socket; the client that would use it is the test's.
    server = createServer();
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    writeFileSync(
      join(root, "bin/s6-ipcclient"),
      `#!/bin/sh
shift
printf 'done\\nmore\\n' >${root}/answer
exec "$@" 6<${root}/answer 7>${root}/sent
`,
      { mode: 0o755 },
    );
  });
  afterEach(() => new Promise((resolve) => server.close(resolve)));

  test("it hears what Serf said, and its first line is the answer", () => {
    const name = `a"\\t$(id)'%s é`;
    const said = `${name}\t10.0.0.1\tbackend\t${TAGS}\ns2\t10.0.0.2\tbackend\t${TAGS}\n`;
    expect(handle("query", said, "leave")).toBe("done\n");
    const sent = readFileSync(join(root, "sent"), "utf8");
    expect(sent).toBe(`leave\n${said}\n`);
    expect(parseGossipEvent(sent)).toEqual({
      event: "leave",
      members: [
        { name, address: "10.0.0.1", role: "backend", origin: "hand", boot: "b1" },
        { name: "s2", address: "10.0.0.2", role: "backend", origin: "hand", boot: "b1" },
      ],
    });
  });
});
