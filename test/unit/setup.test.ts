import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { findMirrors, parseDeb822, parseOneLine } from "../../cli/setup/aptSources";
import { decideEngine, type Machine } from "../../cli/setup/dockerEngine";
import { findChecksum } from "../../cli/setup/download";
import { withLock } from "../../cli/setup/lock";
import { chooseCli, isAtLeast, nameArchive, version } from "../../cli/setup/pulumiCli";
import { complete, type Step, type Way } from "../../cli/setup/step";

describe("apt sources", () => {
  test("one-line format", () => {
    expect(
      parseOneLine(`# comment
deb http://mirror.example/debian bookworm main contrib # why
deb [arch=amd64 signed-by=/k.gpg] https://example.org/apt/ bookworm-updates main
deb-src http://mirror.example/debian bookworm main
#deb http://off.example/debian bookworm main
deb http://flat.example/ ./
`),
    ).toEqual([
      { uri: "http://mirror.example/debian", suite: "bookworm", components: ["main", "contrib"] },
      { uri: "https://example.org/apt/", suite: "bookworm-updates", components: ["main"] },
      { uri: "http://flat.example/", suite: "./", components: [] },
    ]);
  });

  test("deb822 format", () => {
    expect(
      parseDeb822(`# comment
Types: deb deb-src
URIs: http://one.example/debian http://two.example/debian
Suites: bookworm
 bookworm-updates
# inside
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 URIs: not-a-field

Types: deb-src
URIs: http://sources.example
Suites: bookworm

enabled: no
types: deb
uris: http://off.example
suites: bookworm
`),
    ).toEqual(
      ["http://one.example/debian", "http://two.example/debian"].flatMap((uri) =>
        ["bookworm", "bookworm-updates"].map((suite) => ({ uri, suite, components: ["main"] })),
      ),
    );
  });

  test("mirrors of the main archive, the likeliest first", () => {
    const source = (uri: string, suite: string, ...components: string[]) => ({
      uri,
      suite,
      components,
    });
    expect(
      findMirrors(
        [
          source("https://tools.example", "bookworm", "main"),
          source("http://mirror.example/debian-security", "bookworm-security", "main"),
          source("http://mirror.example/debian/", "bookworm", "main", "contrib"),
          source("http://mirror.example/debian/", "bookworm-updates", "main"),
          source("http://mirror.example/debian", "bookworm", "main"),
          source("cdrom:[Debian]/debian", "bookworm", "main"),
          source("http://node.example/debian", "nodistro", "main"),
          source("http://other.example/debian", "bookworm", "stable"),
        ],
        "bookworm",
      ),
    ).toEqual(["http://mirror.example/debian", "https://tools.example"]);
  });
});

describe("Pulumi CLI", () => {
  test.each([
    ["3.246.0", "3.246.0", true],
    ["v3.247.0-alpha.x1+dirty", "3.246.0", true],
    ["3.99.0", "3.246.0", false],
    ["3.246.10", "3.246.9", true],
    ["4.0.0", "3.246.0", true],
    ["2.999.999", "3.0.0", false],
    ["", "3.246.0", false],
  ])("%s is at least %s: %s", (found, wanted, expected) => {
    expect(isAtLeast(found, wanted)).toBe(expected);
  });

  const good = { path: "/usr/bin/pulumi", version: "99.0.0", hasLanguageHost: true };
  test.each([
    [good, undefined, { use: "/usr/bin/pulumi" }],
    [good, "/cache/pulumi", { use: "/usr/bin/pulumi" }],
    [undefined, "/cache/pulumi", { use: "/cache/pulumi" }],
    [undefined, undefined, { missing: "no pulumi is on PATH" }],
    [
      { ...good, version: "3.1.0" },
      undefined,
      { missing: `/usr/bin/pulumi is 3.1.0, older than ${version}` },
    ],
    [{ ...good, version: "3.1.0" }, "/cache/pulumi", { use: "/cache/pulumi" }],
    [
      { ...good, version: "" },
      undefined,
      { missing: `/usr/bin/pulumi is of no known version, older than ${version}` },
    ],
    [
      { ...good, hasLanguageHost: false },
      undefined,
      { missing: "/usr/bin/pulumi comes without pulumi-language-nodejs" },
    ],
  ])("installed %j, cached %s", (installed, cached, expected) => {
    expect(chooseCli(installed, cached)).toEqual(expected);
  });

  test.each([
    ["linux", "x64", `pulumi-v${version}-linux-x64.tar.gz`],
    ["linux", "arm64", `pulumi-v${version}-linux-arm64.tar.gz`],
    ["darwin", "arm64", `pulumi-v${version}-darwin-arm64.tar.gz`],
    ["linux", "arm", undefined],
    ["win32", "x64", undefined],
  ] as const)("archive for %s %s", (platform, arch, expected) => {
    expect(nameArchive(platform, arch)).toBe(expected);
  });

  test("what is built is what would be downloaded", () => {
    const modules = readFileSync(join(__dirname, "../../cli/setup/pulumi-cli/go.mod"), "utf8");
    expect(modules.match(/github\.com\/pulumi\/pulumi\/(pkg|sdk)\/v3 v\S+/g)).toEqual([
      `github.com/pulumi/pulumi/pkg/v3 v${version}`,
      `github.com/pulumi/pulumi/sdk/v3 v${version}`,
    ]);
  });

  test("a checksum is the one of the exact name", () => {
    const [a, b] = ["a".repeat(64), "b".repeat(64)];
    const list = `${a}  pulumi.tar.gz.sig\n${b}  pulumi.tar.gz\n`;
    expect(findChecksum(list, "pulumi.tar.gz")).toBe(b);
    expect(findChecksum(list, "other.tar.gz")).toBeUndefined();
  });
});

test("a download goes through the proxy that the environment names", async () => {
  const asked: string[] = [];
  const proxy = createServer().on("connect", ({ url }, socket) => {
    asked.push(url!);
    socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
  });
  await once(proxy.listen(0, "127.0.0.1"), "listening");
  const HTTPS_PROXY = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const script = `require("./cli/setup/download").download("https://host.example/file", "/nowhere")`;
  const child = spawn(process.execPath, ["--require", "tsx/cjs", "--eval", script], {
    env: { ...process.env, HTTPS_PROXY },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const closed = once(child, "close") as Promise<[code: number]>;
  const [said, [code]] = await Promise.all([text(child.stderr), closed]);
  proxy.close();
  expect({ asked, code }).toEqual({ asked: ["host.example:443"], code: 1 });
  expect(said).toMatch(/curl: .*403/);
});

describe("Docker engine", () => {
  const debian: Machine = {
    denied: false,
    hasApt: true,
    root: true,
    hasEngine: false,
    hasSystemd: false,
  };
  const named = { address: "tcp://10.0.0.5:2375", source: "DOCKER_HOST" };
  test.each<[string, Partial<Machine>, ReturnType<typeof decideEngine>]>([
    ["bare Debian", {}, { install: true, start: "detached" }],
    ["bare Debian with systemd", { hasSystemd: true }, { install: true, start: "systemd" }],
    ["installed, not running", { hasEngine: true }, { install: false, start: "detached" }],
    [
      "installed, no apt",
      { hasEngine: true, hasApt: false },
      { install: false, start: "detached" },
    ],
    [
      "named by the user",
      { named },
      {
        help: "tcp://10.0.0.5:2375 (DOCKER_HOST) does not answer; start it or unset that, then run the same command again",
      },
    ],
    [
      "closed to the user",
      { denied: true },
      {
        help: "unix:///var/run/docker.sock is closed to you: `sudo usermod -aG docker $USER`, log in anew, then run the same command again",
      },
    ],
    ...(["hasApt", "root"] as const).map(
      (key) =>
        [
          `no ${key}`,
          { [key]: false },
          {
            help: "install and start Docker (https://docs.docker.com/engine/install/), then run the same command again",
          },
        ] as [string, Partial<Machine>, ReturnType<typeof decideEngine>],
    ),
  ])("%s", (_, difference, expected) => {
    expect(decideEngine({ ...debian, ...difference })).toEqual(expected);
  });
});

describe("a step", () => {
  /** A step whose thing is there once a way has set it. */
  function makeStep(ways: (set: (value: string) => void) => Way[], found?: string) {
    const step: Step = {
      name: "Thing",
      check: () => Promise.resolve(found),
      ways: () => Promise.resolve(ways((value) => (found = value))),
      help: "get it yourself",
    };
    const said: string[] = [];
    return { said, done: complete(step, (line) => said.push(line)) };
  }
  const way = (does: string, run: () => void): Way => ({
    does,
    run: () => Promise.resolve().then(run),
  });

  test("that is done is left alone", async () => {
    const { said, done } = makeStep(() => [way("never", () => undefined)], "1.0");
    await done;
    expect(said).toEqual(["✓ Thing: 1.0"]);
  });

  test("goes from way to way until the check agrees", async () => {
    const { said, done } = makeStep((set) => [
      way("download it", () => {
        throw new Error("no network");
      }),
      way("pretend", () => undefined),
      way("make it", () => set("2.0")),
      way("never", () => set("3.0")),
    ]);
    await done;
    expect(said).toEqual([
      "→ Thing: download it",
      "  Thing: that did not work: no network",
      "→ Thing: pretend",
      "  Thing: that did not work: it ended well, but the check still finds nothing",
      "→ Thing: make it",
      "✓ Thing: 2.0 (0 s)",
    ]);
  });

  test("without a way left says what to do", async () => {
    await expect(makeStep(() => []).done).rejects.toThrow("Thing: get it yourself");
  });
});

describe("the lock", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "lock-test-"))));
  afterEach(() => rmSync(folder, { recursive: true }));

  test("lets one in at a time, and is gone after a failure", async () => {
    const file = join(folder, "sub", "lock");
    const events: string[] = [];
    const work = (name: string) => async () => {
      events.push(`${name} in`);
      await new Promise((resolve) => setTimeout(resolve, 50));
      events.push(`${name} out`);
      throw new Error(name);
    };
    const waited: number[] = [];
    const results = await Promise.allSettled(
      ["a", "b"].map((name) => withLock(file, work(name), (owner) => waited.push(owner))),
    );
    expect(results.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(events).toEqual(["a in", "a out", "b in", "b out"]);
    expect(waited).toEqual([process.pid]);
    expect(existsSync(file)).toBe(false);
  });

  test("of a process that is gone is taken over", async () => {
    const file = join(folder, "lock");
    writeFileSync(file, "2147483646\n"); // above any system's highest process id
    await expect(withLock(file, () => Promise.resolve("done"), jest.fn())).resolves.toBe("done");
  });
});
