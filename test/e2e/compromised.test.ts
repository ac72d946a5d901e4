/** What somebody inside the lab can do: an application that was taken over, a holder of the key. */
import { runInContainer, withoutFrames } from "../../docker/exec";
import { configuratorLog, push, readPushed } from "../support/balancer";
import { LabCheckout } from "../support/checkout";
import { LONG } from "../support/long";
import { addressIn, expectAgreement, pauseNode } from "../support/cluster";
import { eventually, inContainer, names } from "../support/observe";

jest.setTimeout(300_000);

let lab: LabCheckout;
beforeAll(async () => {
  lab = await LabCheckout.create("e2e-inside");
  await lab.up();
});
afterAll(() => lab.remove());

const bootOf = async (name: string) =>
  (await inContainer(lab, name, "s6-setuidgid", "_serf", "cat", "/run/serf/boot")).trim();

/** A member's leave, as it would say it itself. */
const leaveOf = async (name: string, host: number) =>
  `${name}\t${addressIn(lab, host)}\tbackend\trole=backend,origin=pulumi,boot=${await bootOf(name)}`;

describe("an application's user", () => {
  const asWebapp = (command: string[]) =>
    runInContainer(lab.container("s1"), command, { user: "webapp" });
  const NO_TOKEN = /Authentication required/;
  const NO_FILE = /Permission denied/;

  test.each<[wasAble: string, command: string[], answer: RegExp]>([
    ["list the members", ["serf", "members"], NO_TOKEN],
    ["read the gossip key from the agent", ["serf", "keys", "-list"], NO_TOKEN],
    ["break gossip by another key", ["serf", "keys", "-install", "A".repeat(43) + "="], NO_TOKEN],
    ["make its node leave", ["serf", "leave"], NO_TOKEN],
    ["ask without the wrapper", ["/usr/bin/serf", "members"], NO_TOKEN],
    [
      "guess the token",
      ["/usr/bin/serf", "members", "-rpc-auth=guess"],
      /Invalid authentication token/,
    ],
    ["read the gossip key", ["cat", "/etc/serf/key"], NO_FILE],
    ["read the agent's secrets", ["cat", "/run/serf/secrets.json"], NO_FILE],
    ["read the token", ["cat", "/run/serf-token"], NO_FILE],
    ["read the agent's environment", ["sh", "-c", "cat /proc/[0-9]*/environ >/dev/null"], NO_FILE],
  ])("can't %s", async (_wasAble, command, answer) => {
    const { exitCode, stdout, stderr } = await asWebapp(command);
    expect(stdout + stderr).toMatch(answer);
    expect(exitCode).not.toBe(0);
  });

  test("can't take another node out by a leave in its name, as it could", async () => {
    const leave = await leaveOf("s2", 12);
    const { exitCode, stdout } = await asWebapp([
      ...["serf", "query", "-tag", "role=balancer", "leave", leave],
    ]);
    expect(stdout).toMatch(NO_TOKEN);
    expect(exitCode).not.toBe(0);
    expect(await expectAgreement(lab)).toEqual(["s1", "s2"]);
  });
});

test("the agents' tokens show in no command line, inspect or log", async () => {
  const tokens = await Promise.all(
    ["ha", "s1"].map(async (name) =>
      (await inContainer(lab, name, "cat", "/run/serf-token")).trim(),
    ),
  );
  expect(tokens.map((token) => /^[0-9a-f]{32}$/.test(token))).toEqual([true, true]);
  expect(tokens[0]).not.toBe(tokens[1]);
  const places = await Promise.all(
    ["ha", "s1"].map(async (name) => [
      await inContainer(lab, name, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'; exit 0"),
      JSON.stringify(await lab.container(name).inspect()),
      (await lab.container(name).logs({ stdout: true, stderr: true })).toString(),
    ]),
  );
  for (const text of places.flat()) {
    expect(text).not.toBe("");
    for (const token of tokens) expect(text.includes(token)).toBe(false);
  }
});

describe("a leave in another's name, by a holder of the key,", () => {
  const inRotation = async () => (await inContainer(lab, "ha", "ls", "/nodes")).trim().split("\n");
  const sayLeave = async () => {
    const leave = await leaveOf("s2", 12);
    await inContainer(lab, "s1", "serf", "query", "-tag", "role=balancer", "leave", leave);
    expect(await inRotation()).toEqual(["s1.yaml"]);
  };
  const lastApply = async () =>
    (await configuratorLog(lab)).findLast((line) => /applied/.test(line));

  test("which was believed for ever, is not when the node serves on for 15 s", async () => {
    await sayLeave();
    const started = Date.now();
    await eventually(30_000, async () =>
      expect(await inRotation()).toEqual(["s1.yaml", "s2.yaml"]),
    );
    console.log(`back in after ${Date.now() - started} ms`);
    expect(Date.now() - started).toBeGreaterThan(14_000);
    expect(await expectAgreement(lab)).toEqual(["s1", "s2"]);
  });

  test("which no refresh showed, is drift", async () => {
    const args = ["refresh", "--preview-only", "--diff", "--stack", lab.stack];
    let isShown = false;
    const insisting = (async () => {
      while (!isShown) await sayLeave();
    })();
    const shown = await lab.succeed(...args).finally(() => (isShown = true));
    await insisting;
    expect(shown).toMatch(/- +server s2 /);
    expect(shown).not.toMatch(/- +server s1 /);
  });

  test("which no update repaired, ends with the next push", async () => {
    await sayLeave();
    expect(await push(lab, await readPushed(lab))).toMatchObject({ done: true });
    // The push expects the node again; a look that is due just then may be the one that takes it in.
    expect(await lastApply()).toMatch(
      /^applied by Runtime API in \d+ ms for (push \w+|another look): \+s2$/,
    );
    expect(await expectAgreement(lab)).toEqual(["s1", "s2"]);
  });
});

(LONG ? test : test.skip)(
  "a healthy node, out for as long as three others hung, joins the balancer itself",
  async () => {
    await lab.scale(4);
    const hanging = names(3);
    const aliveIn = async (name: string) =>
      (await inContainer(lab, name, "serf", "members", "-status=alive"))
        .split("\n")
        .map((line) => line.split(" ")[0])
        .filter(Boolean)
        .sort();
    for (const name of hanging) await pauseNode(lab, name);
    try {
      await eventually(30_000, async () => expect(await aliveIn("ha")).toEqual(["ha", "s4"]));
      const since = Math.floor(Date.now() / 1000);
      await lab.container("s4").restart({ t: 10 });
      await eventually(30_000, async () => expect(await aliveIn("s4")).toEqual(["ha", "s4"]));
      await eventually(30_000, async () => expect(await aliveIn("ha")).toEqual(["ha", "s4"]));
      const log = await lab.container("s4").logs({ stdout: true, stderr: true, since });
      expect(/agent: joining: \[([^\]]+)\]/.exec(withoutFrames(log))?.[1]).toBe("ha");
    } finally {
      for (const name of hanging) await lab.container(name).unpause();
    }
    expect(await expectAgreement(lab)).toEqual(names(4));
  },
);
