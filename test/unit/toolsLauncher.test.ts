import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** A checkout that has the launcher, linked as npm links it, and a toolchain that shows its input. */
let checkout: string;

beforeEach(() => {
  checkout = realpathSync(mkdtempSync(join(tmpdir(), "launcher test ")));
  mkdirSync(join(checkout, "cli/pulumi/toolchain/docker"), { recursive: true });
  symlinkSync("/bin/true", join(checkout, "cli/pulumi/toolchain/docker/pulumi-resource-docker"));
  mkdirSync(join(checkout, "node_modules/.bin"), { recursive: true });
  mkdirSync(join(checkout, "images"));
  cpSync(join(__dirname, "../../cli/pulumi/pulumi"), join(checkout, "cli/pulumi/pulumi"));
  symlinkSync("../../cli/pulumi/pulumi", join(checkout, "node_modules/.bin/pulumi"));
  writeFileSync(
    join(checkout, "Pulumi.yaml"),
    "name: lab\nbackend:\n  url: file://./.state\nconfig: {}\n",
  );
  writeFileSync(
    join(checkout, "cli/pulumi/toolchain/pulumi"),
    `#!/bin/sh
printf '%s\\n' "$@" "pid $$" "cwd $PWD" "path $PATH" "backend \${PULUMI_BACKEND_URL-unset}" \\
  "passphrase \${PULUMI_CONFIG_PASSPHRASE-unset}" "file \${PULUMI_CONFIG_PASSPHRASE_FILE-unset}" \\
  "update \${PULUMI_SKIP_UPDATE_CHECK-unset}" \\
  "quiet \${PULUMI_OPTION_SUPPRESS_OUTPUTS-unset} \${PULUMI_OPTION_DIFF-unset}" \\
  "debug \${PULUMI_OPTION_DEBUG-unset}" \\
  "engine \${DOCKER_HOST-unset} \${DOCKER_TLS_VERIFY-unset} \${DOCKER_CERT_PATH-unset}"
exit 7
`,
  );
  chmodSync(join(checkout, "cli/pulumi/toolchain/pulumi"), 0o755);
});

afterEach(() => rmSync(checkout, { recursive: true }));

function launch(env: NodeJS.ProcessEnv, cwd: string, ...args: string[]) {
  const { pid, status, stdout, stderr } = spawnSync(
    join(checkout, "node_modules/.bin/pulumi"),
    args,
    { cwd, env: { PATH: "/usr/bin:/bin", ...env }, encoding: "utf8" },
  );
  return { pid, status, lines: stdout.trim().split("\n"), stderr };
}

test("becomes the CLI: arguments, process, exit code and all that the CLI needs", () => {
  const { pid, status, lines, stderr } = launch({}, checkout, "config", "set", "a b", "");
  expect({ status, lines, stderr }).toEqual({
    status: 7,
    stderr: "",
    lines: [
      "config",
      "set",
      "a b",
      "",
      `pid ${pid}`,
      `cwd ${checkout}`,
      `path ${checkout}/cli/pulumi/toolchain:/usr/bin:/bin:${checkout}/node_modules/@pulumi/pulumi`,
      `backend file://${checkout}/.state`,
      "passphrase ",
      "file unset",
      "update true",
      "quiet true unset",
      "debug unset",
      "engine unset unset unset",
    ],
  });
  expect(existsSync(join(checkout, ".state"))).toBe(true);
});

test.each([
  ["true", ["preview", "--debug"]],
  ["true", ["up", "-d", "--yes"]],
  ["unset", ["up", "--stack", "-d"]],
  ["unset", ["up", "--debug=false"]],
])("tells the program whether debug messages are asked for: %s with %j", (value, args) => {
  expect(launch({}, checkout, ...args).lines).toContain(`debug ${value}`);
});

test("nobody else can look into the state folder, also one that was open before", () => {
  mkdirSync(join(checkout, ".state"), { mode: 0o755 });
  launch({}, checkout, "up");
  expect((statSync(join(checkout, ".state")).mode & 0o777).toString(8)).toBe("700");
});

test.each([
  ["in a sub-folder", "images", {}, "file://CHECKOUT/.state"],
  ["outside the checkout", "..", {}, "unset"],
  ["a backend of the user's", ".", { PULUMI_BACKEND_URL: "s3://mine" }, "s3://mine"],
])("backend: %s", (_, folder, env, expected) => {
  const { lines } = launch(env, join(checkout, folder), "up");
  expect(lines.find((line) => line.startsWith("backend "))).toBe(
    `backend ${expected.replace("CHECKOUT", checkout)}`,
  );
});

test.each([
  ["url: 'file://./here'", "file://CHECKOUT/here"],
  ["backend: {url: file://./here}", "file://CHECKOUT/here"],
  ["url: s3://bucket", "unset"],
])("backend of Pulumi.yaml: %s", (text, expected) => {
  writeFileSync(join(checkout, "Pulumi.yaml"), `name: lab\n${text}\n`);
  expect(launch({}, checkout, "up").lines.find((line) => line.startsWith("backend "))).toBe(
    `backend ${expected.replace("CHECKOUT", checkout)}`,
  );
});

test.each([
  [{ PULUMI_CONFIG_PASSPHRASE: "secret" }, ["passphrase secret", "file unset"]],
  [{ PULUMI_CONFIG_PASSPHRASE_FILE: "/p" }, ["passphrase unset", "file /p"]],
])("passphrase of the user's: %j", (env, expected) => {
  const { lines } = launch(env, checkout, "up");
  expect(lines.filter((line) => /^(passphrase|file) /.test(line))).toEqual(expected);
});

test.each<[string[], NodeJS.ProcessEnv, string]>([
  [["refresh", "--yes"], {}, "quiet true true"],
  [["up", "--refresh"], {}, "quiet true unset"],
  [
    ["refresh"],
    { PULUMI_OPTION_SUPPRESS_OUTPUTS: "false", PULUMI_OPTION_DIFF: "false" },
    "quiet false false",
  ],
])("%j with %j shows only what helps, unless the user wants more", (args, env, expected) => {
  expect(launch(env, checkout, ...args).lines).toContain(expected);
});

describe("the engine of the Docker context, for the plugin that knows no contexts", () => {
  const digest = (name: string) => createHash("sha256").update(name).digest("hex");
  const addContext = (name: string, Host: string) => {
    const folder = join(checkout, "docker/contexts/meta", digest(name));
    mkdirSync(folder, { recursive: true });
    const meta = { Name: name, Endpoints: { docker: { Host } } };
    writeFileSync(join(folder, "meta.json"), JSON.stringify(meta));
  };
  const tlsOf = (name: string) => `docker/contexts/tls/${digest(name)}/docker`;

  test.each<[string, string | undefined, NodeJS.ProcessEnv, string]>([
    ["no context", undefined, {}, "unset unset unset"],
    ["the current one", "near", {}, "unix:///near.sock unset unset"],
    ["another one", "near", { DOCKER_CONTEXT: "far" }, "tcp://far:2376 1 TLS"],
    ["a host before any", "far", { DOCKER_HOST: "tcp://x:1" }, "tcp://x:1 unset unset"],
    ["one that is not there", "gone", {}, "unset unset unset"],
  ])("%s", (_, currentContext, env, expected) => {
    addContext("near", "unix:///near.sock");
    addContext("far", "tcp://far:2376");
    mkdirSync(join(checkout, tlsOf("far")), { recursive: true });
    writeFileSync(join(checkout, tlsOf("far"), "ca.pem"), "");
    writeFileSync(join(checkout, "docker/config.json"), JSON.stringify({ currentContext }));
    const { lines } = launch(
      { PATH: process.env.PATH, DOCKER_CONFIG: join(checkout, "docker"), ...env },
      checkout,
      "up",
    );
    expect(lines.at(-1)).toBe(`engine ${expected.replace("TLS", join(checkout, tlsOf("far")))}`);
  });
});

test.each([
  ["the CLI", "pulumi"],
  ["the Docker plugin", "docker"],
])("says what to do when %s is not set up", (_, link) => {
  rmSync(join(checkout, "cli/pulumi/toolchain", link), { recursive: true });
  const { status, lines, stderr } = launch({}, checkout, "up");
  expect({ status, lines, stderr }).toEqual({
    status: 1,
    lines: [""],
    stderr:
      "The Pulumi CLI of this checkout is not set up (or was removed since). Run: npm run setup\n",
  });
});

test("installs a plugin before it is known which one is used", () => {
  rmSync(join(checkout, "cli/pulumi/toolchain/docker"), { recursive: true });
  expect(launch({}, checkout, "plugin", "install")).toMatchObject({ status: 7, stderr: "" });
});

describe("an interrupted update", () => {
  const write = (path: string, content: object) => {
    const file = join(checkout, ".state/.pulumi", path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, JSON.stringify(content));
  };
  const stack = (name: string, latest: object = {}) =>
    write(`stacks/lab/${name}.json`, { version: 3, checkpoint: { latest } });
  const unfinished = { pending_operations: [{ type: "creating", resource: {} }] };
  const lock = (name: string, pid: number, host = hostname()) =>
    write(`locks/organization/lab/${name}/${pid}.json`, { pid, username: "me", hostname: host });
  const gone = () => spawnSync("true").pid;
  const hint = (name: string) =>
    `An update of this lab was interrupted. Run: npm run repair -- --stack ${name}\n`;

  test.each<[string, () => void, string]>([
    ["no stack", () => undefined, ""],
    ["all well", () => stack("dev"), ""],
    ["a dead lock", () => (stack("dev"), lock("dev", gone())), hint("dev")],
    ["operations without an end", () => stack("dev", unfinished), hint("dev")],
    ["both: one line", () => (stack("dev", unfinished), lock("dev", gone())), hint("dev")],
    ["at work still", () => (stack("dev", unfinished), lock("dev", process.pid)), ""],
    ["another host's", () => (stack("dev", unfinished), lock("dev", gone(), "x.example")), ""],
    [
      "one dead lock beside a live one",
      () => (stack("dev"), lock("dev", gone()), lock("dev", process.pid)),
      "",
    ],
    [
      "of the second stack",
      () => (stack("dev"), lock("dev", process.pid), stack("e2e-two"), lock("e2e-two", gone())),
      hint("e2e-two"),
    ],
    [
      "a resource that speaks of operations",
      () => stack("dev", { resources: [{ inputs: { text: '"pending_operations":[{' } }] }),
      "",
    ],
    [
      "a lock that can't be read",
      () => (stack("dev"), write("locks/organization/lab/dev/1.json", [])),
      "",
    ],
  ])("%s", (_, prepare, expected) => {
    prepare();
    const { status, lines, stderr } = launch({}, checkout, "stack", "ls");
    expect({ status, first: lines[0], stderr }).toEqual({
      status: 7,
      first: "stack",
      stderr: expected,
    });
  });

  /** Makes a stack the selected one, as Pulumi notes it. */
  const select = (name: string) => {
    const digest = createHash("sha1").update(join(checkout, "Pulumi.yaml")).digest("hex");
    mkdirSync(join(checkout, "home/workspaces"), { recursive: true });
    writeFileSync(
      join(checkout, `home/workspaces/lab-${digest}-workspace.json`),
      JSON.stringify({ stack: `organization/lab/${name}` }, undefined, 4),
    );
  };
  const refusal = (command: string) =>
    `${hint("dev")}Until then pulumi ${command} is refused: it would go on from a record that is not true.\n`;

  test.each<[string, string, boolean]>([
    ["up", "dev", true],
    ["update --yes", "dev", true],
    ["preview --diff", "dev", true],
    ["pre", "dev", true],
    ["destroy --yes", "dev", true],
    ["down", "dev", true],
    ["dn", "dev", true],
    ["refresh", "dev", true],
    ["import", "dev", true],
    ["watch", "dev", true],
    ["--color never up", "dev", true],
    ["up", "", true],
    ["up", "second", false],
    ["up --stack dev", "second", true],
    ["up --stack=organization/lab/dev", "second", true],
    ["up -s dev", "second", true],
    ["up -sdev", "second", true],
    ["up --stack second", "dev", false],
    ["up --help", "dev", false],
    ["stack output", "dev", false],
    ["config set up up", "dev", false],
    ["cancel", "dev", false],
  ])("pulumi %s with stack %j selected is refused: %s", (command, selected, isRefused) => {
    stack("second");
    stack("dev", unfinished);
    if (selected) select(selected);
    const words = command.split(" ");
    const env = { PULUMI_HOME: join(checkout, "home") };
    const { status, lines, stderr } = launch(env, checkout, ...words);
    const verb = words.find((word) => !["--color", "never"].includes(word))!;
    expect({ status, first: lines[0], stderr }).toEqual(
      isRefused
        ? { status: 1, first: "", stderr: refusal(verb) }
        : { status: 7, first: words[0], stderr: hint("dev") },
    );
  });

  test("PULUMI_STACK names the stack where no option does", () => {
    stack("second");
    stack("dev", unfinished);
    select("dev");
    const env = { PULUMI_HOME: join(checkout, "home") };
    expect(launch({ ...env, PULUMI_STACK: "second" }, checkout, "up").status).toBe(7);
    expect(launch({ ...env, PULUMI_STACK: "dev" }, checkout, "up").status).toBe(1);
  });

  test("a number that another program has by now does not hold a stack", () => {
    stack("dev");
    const sleeper = spawn("sleep", ["60"]);
    try {
      lock("dev", sleeper.pid!);
      expect(launch({}, checkout, "stack").stderr).toBe(hint("dev"));
    } finally {
      sleeper.kill();
    }
  });

  test.each([
    ["the repair", { LAB_REPAIR: "running" }],
    ["another backend", { PULUMI_BACKEND_URL: "s3://mine" }],
  ])("%s is not told", (_, env) => {
    stack("dev", unfinished);
    expect(launch(env, checkout, "up").stderr).toBe("");
  });
});
