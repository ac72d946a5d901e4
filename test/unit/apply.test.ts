/** How a text becomes the running configuration, with a HAProxy that fails at any step. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { applyIfNeeded, decideApply, type Snapshot, writeUsers } from "../../configurator/apply";
import { paths } from "../../configurator/paths";
import { listServers } from "../../configurator/servers";
import { FakeHaproxy, NOT_PARSED, NOT_STARTED } from "../support/fakeHaproxy";
import { renderFor } from "../support/golden";
import { LAB, SWARM_LAB } from "../support/labConfig";

const PATH = process.env.PATH;

// The environment of a test is Jest's own; a program would be looked for in the real one.
jest.mock("node:child_process", () => {
  const real = jest.requireActual<typeof import("node:child_process")>("node:child_process");
  const execFile = (file: string, args: string[], options: object, done: () => void) =>
    real.execFile(file, args, { ...options, env: process.env }, done);
  return { ...real, execFile };
});
jest.mock("../../configurator/paths", () => ({
  paths: { ...jest.requireActual<{ paths: typeof paths }>("../../configurator/paths").paths },
}));

const textFor = (nodeCount: number) => renderFor({ ...LAB, nodeCount });
const [two, three] = [2, 3].map(textFor);
const otherTemplate = three.replace("balance roundrobin", "balance leastconn");

describe("what is decided", () => {
  const serversOf = (text: string) =>
    listServers(text).map((node) => ({ ...node, status: "UP", check: "L7OK", checking: false }));
  const on = (text: string, id = "7 1") => ({ id, servers: serversOf(text) });
  const settled: Snapshot = {
    ...{ text: two, nodes: listServers(two), drift: "keep", isBroken: false },
    ...{ applied: two, live: two, worker: on(two), recorded: "7 1" },
  };
  const wanting = (text: string) => ({ text, nodes: listServers(text) });

  test.each<[string, Partial<Snapshot>, ReturnType<typeof decideApply>]>([
    ["all is as it should be", {}, "none"],
    ["the same, by a push", { drift: "repair" }, "none"],
    ["a server more", wanting(three), "servers"],
    ["a server fewer", { ...settled, ...wanting(textFor(1)) }, "servers"],
    ["another template", wanting(otherTemplate), "file"],
    ["the first text of all", { applied: undefined, live: undefined, recorded: undefined }, "file"],
    ["the file edited by hand", { live: `${two}# by hand\n` }, "none"],
    ["the same, by a push", { live: `${two}# by hand\n`, drift: "repair" }, "servers"],
    ["a server more, and the file edited", { ...wanting(three), live: "by hand" }, "servers"],
    ["the file removed", { live: undefined, drift: "repair" }, "servers"],
    ["an apply that was cut off", { recorded: undefined }, "file"],
    ["a worker that was not seen on it, on the right file", { recorded: "6 1" }, "record"],
    ["the same on a file edited by hand", { recorded: "6 1", live: "by hand" }, "none"],
    ["the same with a server more", { ...wanting(three), recorded: "6 1" }, "file"],
    ["a worker with other servers", { worker: on(three) }, "servers"],
    ["the same, not seen on it", { worker: on(three), recorded: "6 1" }, "file"],
    ["no worker, on the right file", { worker: undefined }, "none"],
    ["no worker, on an edit that starts", { worker: undefined, live: "by hand" }, "none"],
    ["no worker, on one that can't", { worker: undefined, live: "x", isBroken: true }, "file"],
    ["no worker, and a server more", { ...wanting(three), worker: undefined }, "file"],
  ])("%s", (_, change, step) => {
    expect(decideApply({ ...settled, ...change })).toBe(step);
  });

  test("what a worker only drains does not count, what a person put into maintenance does", () => {
    const [s1, s2, s3] = serversOf(three);
    const withServers = (...servers: (typeof s1)[]) =>
      decideApply({ ...settled, worker: { id: "7 1", servers } });
    expect(withServers(s1, s2, { ...s3, status: "MAINT" })).toBe("none");
    expect(withServers(s1, { ...s2, status: "MAINT" })).toBe("none");
    expect(withServers(s1)).toBe("servers");
  });
});

describe("what is done", () => {
  let folder: string;
  let haproxy: FakeHaproxy;
  let errors: jest.SpyInstance<void, unknown[]>;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "apply-"));
    haproxy = await FakeHaproxy.start(folder, paths);
    errors = jest.spyOn(console, "error").mockImplementation(() => undefined);
  });
  afterEach(async () => {
    await haproxy.stop();
    rmSync(folder, { recursive: true });
    process.env.PATH = PATH;
    errors.mockRestore();
  });

  const apply = async (text: string, drift: Snapshot["drift"] = "keep") =>
    (await applyIfNeeded({ text, nodes: listServers(text), drift }))?.way;
  const read = (file: string) => {
    try {
      return readFileSync(file, "utf8");
    } catch {
      return undefined;
    }
  };
  /** The files, and what the worker balances over. */
  const state = () => ({
    ...{ live: read(paths.config), applied: read(paths.applied), recorded: read(paths.worker) },
    servers: [...(haproxy.servers?.values() ?? [])]
      .filter(({ status }) => status !== "MAINT")
      .map(({ name }) => name),
  });
  const settledOn = (text: string) => ({
    ...{ live: text, applied: text, recorded: haproxy.id },
    servers: listServers(text).map(({ name }) => name),
  });
  const isQuestion = (command: string) => /^show /.test(command);

  test("the first text starts HAProxy; then servers alone need no reload, and the rest does", async () => {
    expect(await apply(two)).toBe("start");
    expect(state()).toEqual(settledOn(two));
    const first = haproxy.id;

    haproxy.commands.length = 0;
    let atFirst: ReturnType<typeof state> | undefined;
    haproxy.answer = (command) => void (isQuestion(command) || (atFirst ??= state()));
    expect(await apply(three)).toBe("Runtime API");
    const s3 = /server s3 (.*)/.exec(three)![1];
    expect(haproxy.commands.filter((command) => !isQuestion(command))).toEqual([
      `add server nodes/s3 ${s3}`,
      ...["enable health nodes/s3", "set server nodes/s3 state ready"],
      "set server nodes/s3 health down",
    ]);
    // Whatever ends it here, the next start reads the new file and nobody trusts the worker.
    expect(atFirst).toEqual({
      live: three,
      applied: two,
      recorded: undefined,
      servers: ["s1", "s2"],
    });
    expect([haproxy.id, state()]).toEqual([first, settledOn(three)]);

    expect(await apply(two)).toBe("Runtime API");
    expect([haproxy.id, state()]).toEqual([first, settledOn(two)]);
    expect(await apply(two)).toBeUndefined();

    expect(await apply(otherTemplate)).toBe("reload");
    expect(state()).toEqual(settledOn(otherTemplate));
    expect(haproxy.id).not.toBe(first);
    expect(read(paths.statsFile)).toBe("frontends\n\nbackends\n");
  });

  test("servers by name get their addresses beside the text: by a state file, and by the Runtime API", async () => {
    const byName = (nodeCount: number) =>
      renderFor({ ...SWARM_LAB, nodeCount }).replace(
        "/var/lib/configurator/server-state",
        paths.serverState,
      );
    const at = (...hosts: number[]) =>
      hosts.map((host, i) => ({ name: `s${i + 1}`, address: `10.20.30.${host}`, port: 3000 }));
    const put = async (text: string, nodes: ReturnType<typeof at>) => {
      haproxy.commands.length = 0;
      const way = (await applyIfNeeded({ text, nodes, drift: "keep" }))?.way;
      const places = [...haproxy.servers!.values()]
        .filter(({ status }) => status !== "MAINT")
        .map(({ name, address }) => `${name} ${address}`);
      const told = haproxy.commands.filter((command) => !isQuestion(command));
      return { way, places, told, kept: read(paths.serverState)?.match(/s\d+ 10\.\S+/g) };
    };
    const first = ["s1 10.20.30.1", "s2 10.20.30.2"];
    expect(await put(byName(2), at(1, 2))).toMatchObject({
      way: "start",
      places: first,
      kept: first,
    });
    const moved = ["s1 10.20.30.1", "s2 10.20.30.9"];
    expect(await put(byName(2), at(1, 9))).toEqual({
      way: "Runtime API",
      places: moved,
      kept: moved,
      told: ["set server nodes/s2 addr 10.20.30.9 port 3000", "set server nodes/s2 health down"],
    });
    const third = [...moved, "s3 10.20.30.3"];
    const added = await put(byName(3), at(1, 9, 3));
    expect(added).toMatchObject({ way: "Runtime API", places: third, kept: third });
    expect(added.told[0]).toMatch(/^add server nodes\/s3 10\.20\.30\.3:3000 guid s3 check /);
    expect(await put(byName(3), at(1, 9, 3))).toMatchObject({ way: undefined, told: [] });
    const reloaded = byName(3).replace("balance roundrobin", "balance leastconn");
    expect(await put(reloaded, at(1, 9, 3))).toMatchObject({
      way: "reload",
      places: third,
      told: ["dump stats-file", "reload"],
    });
  });

  test("a command that HAProxy refuses ends in a reload", async () => {
    await apply(two);
    haproxy.answer = (command) => (command.startsWith("add server") ? "No, not that." : undefined);
    expect(await apply(three)).toBe("reload");
    expect(state()).toEqual(settledOn(three));
    expect(errors.mock.calls[0][0]).toMatch(/^reloading, because: add server .*: No, not that\.$/);
  });

  test("servers that are not what the file says end in a reload", async () => {
    await apply(two);
    let isReloaded = false;
    haproxy.answer = (command) => {
      if (command === "reload") isReloaded = true;
      if (isReloaded || !command.includes("nodes/s3")) return undefined;
      return command.startsWith("add server") ? "New server registered." : "";
    };
    expect(await apply(three)).toBe("reload");
    expect(state()).toEqual(settledOn(three));
    expect(errors.mock.calls[0][0]).toMatch(/^reloading, because: backend nodes runs with "s1=/);
  });

  test("a worker that has other servers after its reload gets the last good text again", async () => {
    await apply(two);
    haproxy.answer = (command) =>
      command.startsWith("show stat") && haproxy.servers?.size === 3 ? "" : undefined;
    await expect(apply(otherTemplate)).rejects.toThrow('backend nodes runs with "", the file says');
    expect({ ...state(), recorded: haproxy.id }).toEqual(settledOn(two));
  });

  test.each([
    ["that does not parse", NOT_PARSED, "haproxy -c refused the config: this does not parse"],
    ["that does not start", NOT_STARTED, "haproxy did not reload: Success=0"],
  ])("of a text %s nothing stays", async (_, line, reason) => {
    await apply(two);
    await expect(apply(`${two}  ${line}\n`)).rejects.toThrow(reason);
    expect({ ...state(), recorded: haproxy.id }).toEqual(settledOn(two));
    // It may have got through to the process, so the next apply does not trust it.
    await apply(two);
    expect(state()).toEqual(settledOn(two));
  });

  test("a last good text that does not parse any more is not restored, and the reason is the first one", async () => {
    await apply(two);
    writeFileSync(paths.applied, NOT_PARSED);
    await expect(apply(`${two}  ${NOT_STARTED}\n`)).rejects.toThrow("haproxy did not reload");
    expect(errors.mock.calls.at(-1)![0]).toContain("the last good config is not restored");
    await apply(two);
    expect(state()).toEqual(settledOn(two));
  });

  test.each([
    ["the Runtime API", three],
    ["a reload", otherTemplate],
  ])("a worker may die at any command of an apply by %s", async (_, text) => {
    for (let step = 0; ; step++) {
      haproxy.answer = () => undefined;
      haproxy.startWorker();
      await apply(two, "repair");
      expect(state()).toEqual(settledOn(two));

      let count = 0;
      haproxy.answer = () => (count++ === step ? "die" : undefined);
      await apply(text).catch(() => undefined);
      if (count <= step) {
        expect(step).toBeGreaterThan(5);
        return;
      }
      // The next start, and the next look, end where they should have.
      haproxy.answer = () => undefined;
      await apply(text);
      expect({ step, ...state() }).toEqual({ step, ...settledOn(text) });
    }
  });

  test.each<[string, () => void]>([
    ["a candidate cut off", () => writeFileSync(`${paths.config}.candidate`, "global\n  da")],
    ["a folder in the candidate's place", () => mkdirSync(`${paths.config}.candidate`)],
    ["the applied text cut off", () => writeFileSync(paths.applied, two.slice(0, 100))],
    ["the worker's note cut off", () => writeFileSync(paths.worker, "")],
    ["no worker's note", () => rmSync(paths.worker)],
    ["no applied text", () => rmSync(paths.applied)],
    ["haproxy.cfg cut off", () => writeFileSync(paths.config, two.slice(0, 100))],
  ])("with %s the next apply ends where it should", async (_, damage) => {
    await apply(two);
    damage();
    await apply(three, "repair");
    expect(state()).toEqual(settledOn(three));
  });

  test("an edit by hand stays until something else changes, and its end is told", async () => {
    const applyNow = (text: string) =>
      applyIfNeeded({ text, nodes: listServers(text), drift: "keep" });
    expect(await applyNow(two)).toMatchObject({ isEditGone: false });
    writeFileSync(paths.config, `${two}# by hand\n`);
    expect(await applyNow(two)).toBeUndefined();
    expect(read(paths.config)).toBe(`${two}# by hand\n`);
    expect(await applyNow(three)).toMatchObject({ way: "Runtime API", isEditGone: true });
    expect(await applyNow(two)).toMatchObject({ way: "Runtime API", isEditGone: false });
  });

  test("users.cfg is HAProxy's user's alone, and only another one makes a reload due", async () => {
    await apply(two);
    const isReloadDue = async (text: string) => {
      await writeUsers(text);
      expect(read(paths.users)).toBe(text);
      expect(statSync(paths.users).mode & 0o777).toBe(0o600);
      return (await apply(two)) === "reload";
    };
    expect(await isReloadDue("userlist statistics\n")).toBe(true);
    expect(await isReloadDue("userlist statistics\n")).toBe(false);
    expect(await isReloadDue("userlist statistics\n  user admin password x\n")).toBe(true);
  });
});
