/**
 * Members that should not be: what gossip brings is anybody's word until it is checked. And an
 * application in a stranger's hands: what its container holds back.
 */
import type Docker from "dockerode";
import { runInContainer, withoutFrames } from "../../docker/exec";
import { archiveOf } from "../../docker/archive";
import { configuratorLog } from "../support/balancer";
import { LabCheckout } from "../support/checkout";
import { addressIn, expectAgreement } from "../support/cluster";
import {
  configOnDisk,
  countAnswers,
  eventually,
  FAILED_WITHIN_MS,
  inContainer,
  previewed,
} from "../support/observe";

jest.setTimeout(300_000);

let lab: LabCheckout;
beforeAll(async () => {
  lab = await LabCheckout.create("e2e-rogue");
  await lab.up();
});
afterAll(() => lab.remove());

const PATIENCE_MS = 20_000;

interface Rogue {
  node_name: string;
  advertise?: string;
  tags?: Record<string, string>;
  encrypt_key?: string;
}

/** An agent without anything of the lab's around it. */
async function startRogue(config: Rogue, host = 240): Promise<Docker.Container> {
  const container = await lab.host.engine.createContainer({
    Image: `${lab.config.namePrefix}lab-base:${lab.stack}`,
    Entrypoint: ["serf", "agent", "-config-file=/rogue.json"],
    HostConfig: { NetworkMode: `${lab.config.namePrefix}heig` },
    NetworkingConfig: {
      EndpointsConfig: {
        [`${lab.config.namePrefix}heig`]: { IPAMConfig: { IPv4Address: addressIn(lab, host) } },
      },
    },
  });
  const text = JSON.stringify({ retry_join: ["ha"], retry_interval: "1s", ...config });
  await container.putArchive(archiveOf("rogue.json", text), { path: "/" });
  await container.start();
  return container;
}

const logOf = async (container: Docker.Container) =>
  withoutFrames(await container.logs({ stdout: true, stderr: true }));

const key = async () => (await inContainer(lab, "ha", "cat", "/etc/serf/key")).trim();

async function membersOfHa(): Promise<string[]> {
  const json = await inContainer(lab, "ha", "serf", "members", "-format=json");
  const { members } = JSON.parse(json) as { members: { name: string; addr: string }[] };
  return members.map(({ name, addr }) => `${name} ${addr}`);
}

const asBackend = { role: "backend", origin: "hand", boot: "12345678" };

async function expectUntouched(): Promise<void> {
  expect(await configOnDisk(lab)).toBe(previewed(lab, 2));
  expect((await inContainer(lab, "ha", "ls", "/nodes")).split("\n")).toEqual([
    "s1.yaml",
    "s2.yaml",
    "",
  ]);
  expect(Object.keys(await countAnswers(lab, 8)).sort()).toEqual(["s1", "s2"]);
}

test.each([
  ["no key", undefined],
  ["a wrong key", Buffer.alloc(32, 7).toString("base64")],
])("with %s nobody becomes a member", async (_what, encrypt_key) => {
  const before = (await membersOfHa()).sort();
  const rogue = await startRogue({ node_name: "s9", tags: asBackend, encrypt_key });
  try {
    await eventually(PATIENCE_MS, async () =>
      expect(await logOf(rogue)).toMatch(/Join .*failed|joining/i),
    );
    // Long enough for a join to have come through, had it been taken.
    await eventually(PATIENCE_MS, async () => {
      const tries = (await logOf(rogue)).match(/agent: joining/g) ?? [];
      expect(tries.length).toBeGreaterThanOrEqual(3);
    });
    expect((await membersOfHa()).sort()).toEqual(before);
    await expectUntouched();
  } finally {
    await rogue.remove({ force: true });
  }
});

const at = (host: number) => addressIn(lab, host);
const long = "x".repeat(300);
const range = () => `${addressIn(lab, 224)}/27`;

const rogues: [what: string, rogue: () => Rogue, refused: () => string][] = [
  ...["s1\n server evil", "a b;c", "../x", 'a"},{"host":"x', long].map(
    (node_name): (typeof rogues)[number] => [
      `the name ${JSON.stringify(node_name.slice(0, 20))}`,
      () => ({ node_name, tags: asBackend }),
      () => {
        const shown = JSON.stringify(node_name.slice(0, 80)) + (node_name === long ? "…" : "");
        return `not taken as a node: member ${shown} at ${at(240)}: the name is not a host name label (a-z, 0-9, -)`;
      },
    ],
  ),
  [
    "a tag that ends a decoder of its messages",
    () => ({
      node_name: "a b",
      tags: JSON.parse(
        '{"__proto__":"x","role":"backend","origin":"hand","boot":"1"}',
      ) as Rogue["tags"],
    }),
    () =>
      `not taken as a node: member "a b" at ${at(240)}: the name is not a host name label (a-z, 0-9, -)`,
  ],
  [
    "an address outside the subnet",
    () => ({ node_name: "s9", advertise: "10.99.99.99:7946", tags: asBackend }),
    () =>
      `not taken as a node: member "s9" at 10.99.99.99: nodes added by hand have an address in ${range()}`,
  ],
  [
    "a second balancer",
    () => ({ node_name: "hb", tags: { ...asBackend, role: "balancer" } }),
    () => `not taken as a node: member "hb" at ${at(240)}: the balancer is ha; there is one`,
  ],
];

test.each(rogues)("with the key and %s it is refused and logged", async (_what, rogue, refused) => {
  const container = await startRogue({ ...rogue(), encrypt_key: await key() });
  try {
    await eventually(PATIENCE_MS, async () => {
      expect(await configuratorLog(lab)).toContain(refused());
    });
    await expectUntouched();
  } finally {
    await container.remove({ force: true });
  }
  // Out of gossip again, so that the next one comes to a quiet lab.
  await eventually(FAILED_WITHIN_MS, async () => {
    const { members } = JSON.parse(
      await inContainer(lab, "ha", "serf", "members", "-status=alive", "-format=json"),
    ) as { members: { name: string }[] };
    expect(members.map(({ name }) => name).sort()).toEqual(["ha", "s1", "s2"]);
  });
});

test("with the name of a live node it is refused and logged, and the node stays", async () => {
  const container = await startRogue({
    node_name: "s1",
    tags: asBackend,
    encrypt_key: await key(),
  });
  try {
    await eventually(PATIENCE_MS, async () => {
      expect(await logOf(lab.container("ha"))).toMatch(
        new RegExp(`serf: .*Name conflict for 's1' both ${at(11)}:7946 and ${at(240)}:7946`),
      );
    });
    await expectUntouched();
  } finally {
    await container.remove({ force: true });
  }
  expect(await expectAgreement(lab)).toEqual(["s1", "s2"]);
});

test("serf.log has one line for each member, whatever it calls itself", async () => {
  const lines = (await inContainer(lab, "ha", "cat", "/var/log/serf.log")).trim().split("\n");
  for (const line of lines) {
    expect(line).toMatch(
      /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ [a-z-]+ name="([^"\\]|\\.)*" address="[^"]*" role="[^"]*" boot="[^"]*"$/,
    );
  }
  expect(lines.some((line) => line.includes('name="s1? server evil"'))).toBe(true);
});

const asWebapp = (...command: string[]) =>
  runInContainer(lab.container("s1"), command, { user: "webapp" });

test("an application that takes all memory is ended alone, and the node serves on", async () => {
  const takeMebibytes =
    "for (const all = []; all.length < 650;) all.push(Buffer.alloc(2 ** 20, 1))";
  const startedAt = async () => (await lab.container("s1").inspect()).State.StartedAt;
  const before = await startedAt();
  const ended = await asWebapp("node", "-e", takeMebibytes);
  expect(ended).toEqual({ exitCode: 137, stdout: "", stderr: "" });
  expect(await expectAgreement(lab)).toEqual(["s1", "s2"]);
  expect(Object.keys(await countAnswers(lab, 8)).sort()).toEqual(["s1", "s2"]);
  expect(await startedAt()).toBe(before);
});

test("a setuid program of root's gives an application no rights", async () => {
  await inContainer(lab, "s1", "install", "-m", "4755", "/usr/bin/id", "/tmp/setuid-id");
  const [own, setuid] = [await asWebapp("id", "-u"), await asWebapp("/tmp/setuid-id", "-u")];
  await inContainer(lab, "s1", "rm", "/tmp/setuid-id");
  expect(own.exitCode).toBe(0);
  expect(own.stdout).not.toBe("0\n");
  expect(setuid).toEqual(own);
});
