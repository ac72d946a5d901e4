/**
 * The recorded steps of the official Docker plugin, under the offline provider: each must bring the
 * same operations, diffs and summary. Needs an engine; uses only what the recorded program names.
 */
import { connectDocker, isNotFound } from "../../docker/connect";
import {
  RAW_STATE,
  Replay,
  type Resource,
  type Step,
  comparable,
  dockerResources,
  summarize,
} from "../support/replay";

const docker = connectDocker();
let replay: Replay;

const steps: [file: string, step: Step][] = [
  ["01-up-2", {}],
  ["02-preview-no-change", {}],
  ["03-preview-2-to-3", { env: { N: "3" } }],
  ["04-preview-env-changed", { env: { X: "b" } }],
  ["05-preview-restart-changed", { env: { RESTART: "no" } }],
  ["06-preview-memory-changed", { env: { MEM: "64" } }],
  ["07-refresh-no-change", {}],
  ["08-preview-after-refresh", {}],
  ["09-refresh-container-removed", { before: () => removeContainer("rec-s2") }],
  ["10-preview-after-removed", {}],
  [
    "11-refresh-container-stopped",
    { before: () => replay.up().then(() => stopContainer("rec-s2")) },
  ],
  ["12-preview-after-stopped", {}],
  ["13-up-after-stopped", {}],
  [
    "14-preview-base-changed",
    { before: () => replay.edit("images/base/Dockerfile", "one", "two") },
  ],
  ["15-up-base-changed", {}],
  ["16-up-restart-changed", { env: { RESTART: "no" } }],
  ["17-up-2-to-1", { env: { RESTART: "no", N: "1" } }],
  ["18-up-subnet-taken", { env: { RESTART: "no", N: "1" }, before: moveToTakenSubnet }],
  [
    "19-destroy-with-a-container-gone",
    { before: () => moveBack().then(() => removeContainer("rec-s1")) },
  ],
];

beforeAll(async () => {
  await removeEverything();
  replay = await Replay.start("", "prog");
}, 120_000);

afterAll(async () => {
  await removeEverything();
  replay.end();
}, 120_000);

test.each(steps)(
  "%s",
  async (file, step) => {
    const { record, output } = await replay.run(file, step);
    expect(summarize(output)).toEqual(summarize(record));
  },
  60_000,
);

test("the state and the container are those of the official plugin", async () => {
  await replay.up();
  const { deployment } = await replay.exportStack();
  const expected = replay.readJson("state-resources.json") as Resource[];
  expect(comparable(dockerResources(deployment))).toEqual(comparable(expected));

  const { Config, HostConfig, NetworkSettings } = await docker.getContainer("rec-s1").inspect();
  const found = { Config, HostConfig, Networks: NetworkSettings.Networks };
  // The record holds what was set; the engine also says what was not.
  expect(comparable(found)).toMatchObject(comparable(replay.readJson("inspect-s1.json")) as object);
}, 120_000);

test("a state of the official plugin's, refreshed here, is one that it takes back", async () => {
  const stack = await replay.exportStack();
  for (const { urn, outputs } of replay.readJson("state-resources.json") as Resource[]) {
    const resource = stack.deployment.resources.find((it) => it.urn === urn)!;
    if (RAW_STATE in outputs) resource.outputs[RAW_STATE] = outputs[RAW_STATE];
  }
  replay.write("official.json", JSON.stringify(stack));
  await replay.pulumi({}, "stack", "import", "--file", "official.json");
  await replay.pulumi({}, "refresh", "--yes", "--skip-preview", "--non-interactive");
  const refreshed = dockerResources((await replay.exportStack()).deployment);
  // A note that no longer fits the rest makes the official plugin panic.
  expect(refreshed.filter(({ outputs }) => RAW_STATE in outputs)).toEqual([]);
  expect(comparable(refreshed)).toEqual(comparable(replay.readJson("state-resources.json")));
}, 120_000);

async function moveToTakenSubnet(): Promise<void> {
  await docker.createNetwork({
    Name: "rec-taken",
    IPAM: { Config: [{ Subnet: "192.168.47.0/24", Gateway: "192.168.47.1" }] },
  });
  replay.edit("index.ts", "192.168.46.", "192.168.47.");
  replay.edit("index.ts", '"rec-heig"', '"rec-heig2"');
}

async function moveBack(): Promise<void> {
  replay.edit("index.ts", "192.168.47.", "192.168.46.");
  replay.edit("index.ts", '"rec-heig2"', '"rec-heig"');
  await replay.up();
}

async function stopContainer(name: string): Promise<void> {
  await docker.getContainer(name).stop({ t: 0 });
}

async function removeContainer(name: string): Promise<void> {
  await docker.getContainer(name).remove({ force: true });
}

/** Whatever a run, also one that was killed, can have left. */
async function removeEverything(): Promise<void> {
  const removals = [
    ...["rec-s1", "rec-s2", "rec-s3"].map((name) => () => removeContainer(name)),
    ...["rec-heig", "rec-heig2", "rec-taken"].map((name) => () => docker.getNetwork(name).remove()),
    () => docker.getVolume("rec-logs").remove(),
    ...["rec/child:dev", "rec/base:dev"].map((name) => () => docker.getImage(name).remove()),
  ];
  for (const remove of removals) {
    await remove().catch((error: Error) => {
      if (!isNotFound(error)) throw error;
    });
  }
}
