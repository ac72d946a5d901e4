/**
 * The recorded steps of the official Docker plugin, under the offline provider: each must bring the
 * same operations, diffs and summary. Needs an engine; uses only what the recorded program names.
 */
import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectEngine, isNotFound } from "../../docker/engine";

const checkout = join(__dirname, "..", "..");
const recorded = join(__dirname, "recorded");
const docker = connectEngine();
let folder: string;

interface Step {
  env?: Record<string, string>;
  /** What happened between the recorded commands. */
  before?: () => unknown;
}

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
  ["11-refresh-container-stopped", { before: () => up().then(() => stopContainer("rec-s2")) }],
  ["12-preview-after-stopped", {}],
  ["13-up-after-stopped", {}],
  ["14-preview-base-changed", { before: () => edit("images/base/Dockerfile", "one", "two") }],
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
  folder = mkdtempSync(join(tmpdir(), "docker-provider-"));
  cpSync(join(recorded, "images"), join(folder, "images"), { recursive: true });
  cpSync(join(recorded, "program.txt"), join(folder, "index.ts"));
  symlinkSync(join(checkout, "node_modules"), join(folder, "node_modules"));
  write("Pulumi.yaml", "name: prog\nruntime: nodejs\n");
  write("package.json", JSON.stringify({ main: "index.ts" }));
  write("tsconfig.json", JSON.stringify({ compilerOptions: { module: "node16" } }));
  await pulumi({}, "stack", "init", "dev");
}, 120_000);

afterAll(async () => {
  await removeEverything();
  rmSync(folder, { recursive: true, force: true });
}, 120_000);

test.each(steps)(
  "%s",
  async (file, { env = {}, before }) => {
    await before?.();
    const record = readFileSync(join(recorded, `${file}.txt`), "utf8");
    const [command] = record.split("\n", 1);
    const output = await pulumi(env, ...command.replace("$ pulumi ", "").split(" "));
    expect(summarize(output)).toEqual(summarize(record));
  },
  60_000,
);

test("the state and the container are those of the official plugin", async () => {
  await up();
  const { deployment } = await exportStack();
  const expected = readJson("state-resources.json") as Resource[];
  expect(comparable(dockerResources(deployment))).toEqual(comparable(expected));

  const { Config, HostConfig, NetworkSettings } = await docker.getContainer("rec-s1").inspect();
  const found = { Config, HostConfig, Networks: NetworkSettings.Networks };
  // The record holds what was set; the engine also says what was not.
  expect(comparable(found)).toMatchObject(comparable(readJson("inspect-s1.json")) as object);
}, 120_000);

test("a state of the official plugin's, refreshed here, is one that it takes back", async () => {
  const stack = await exportStack();
  for (const { urn, outputs } of readJson("state-resources.json") as Resource[]) {
    const resource = stack.deployment.resources.find((it) => it.urn === urn)!;
    if (RAW_STATE in outputs) resource.outputs[RAW_STATE] = outputs[RAW_STATE];
  }
  write("official.json", JSON.stringify(stack));
  await pulumi({}, "stack", "import", "--file", "official.json");
  await pulumi({}, "refresh", "--yes", "--skip-preview", "--non-interactive");
  const refreshed = dockerResources((await exportStack()).deployment);
  // A note that no longer fits the rest makes the official plugin panic.
  expect(refreshed.filter(({ outputs }) => RAW_STATE in outputs)).toEqual([]);
  expect(comparable(refreshed)).toEqual(comparable(readJson("state-resources.json")));
}, 120_000);

/** The official plugin's note on how its framework's state differs from the outputs. */
const RAW_STATE = "__pulumi_raw_state_delta";

interface Stack {
  deployment: { resources: Resource[] };
}

async function exportStack(): Promise<Stack> {
  return JSON.parse(await pulumi({}, "stack", "export")) as Stack;
}

function dockerResources({ resources }: Stack["deployment"]): Resource[] {
  return resources
    .filter(({ type }) => type.startsWith("docker:"))
    .map(({ urn, type, id, inputs, outputs }) => ({ urn, type, id, inputs, outputs }));
}

/** Operations by resource in their order, blocks of a diff by resource, and the summary. */
function summarize(output: string): Record<string, string[]> {
  const [body, counts = ""] = output.split(/^Resources:\n/m);
  const summary = counts.split(/\n\n|\nDuration/, 1)[0].split("\n");
  const found: Record<string, string[]> = { summary: summary.map((line) => line.trim()) };
  const add = (name: string, text: string) => {
    const texts = (found[name] ??= []);
    if (texts.at(-1) !== text) texts.push(text);
  };
  const operation =
    /^ ([-+~ ]{2}) +(docker:\w+:\w+ \S+) +((?:\*\*)?[a-z ]*(?:\*\*)?) *(?:\([\d.]+m?s\))? *(\[diff: [^\]]*\])?/;
  for (const line of body.split("\n")) {
    const match = operation.exec(line);
    if (match) add(match[2], [match[1], match[3].trim(), match[4] ?? ""].join(" ").trim());
  }
  for (const block of body.split(/^(?= {4}\S)/m)) {
    const urn = /\[urn=.*::(docker:.*)\]/.exec(block);
    if (urn) add(urn[1], withoutIds(block.trimEnd()));
  }
  const error = /failed to allocate gateway.*/.exec(output);
  if (error) found.error = [error[0].replace(/: provider=.*/, "")];
  return found;
}

/** Ids, image digests and the digest of the file that the recording changed differ by run. */
function withoutIds(text: string): string {
  return text
    .replace(/\[provider=.*\]/, "[provider]")
    .replace(/(contextDigest\W+)[0-9a-f]{64}/, "$1<digest>")
    .replace(/[0-9a-f]{64}/g, "<id>");
}

interface Resource {
  urn: string;
  type: string;
  id: string;
  inputs: Record<string, unknown>;
  outputs: Record<string, unknown>;
}

/** Without what differs by run, and without the bookkeeping of the official plugin's framework. */
function comparable(value: unknown): unknown {
  if (Array.isArray(value)) {
    const items = value.map(comparable);
    const isResources = (value as Partial<Resource>[]).every((item) => item?.urn !== undefined);
    return isResources ? items.sort((a, b) => urnOf(a).localeCompare(urnOf(b))) : items;
  }
  if (typeof value === "string") return value.replace(/\b[0-9a-f]{64}\b|\b[0-9a-f]{12}\b/g, "<id>");
  if (typeof value !== "object" || value === null) return value;
  if (SECRET in value) return "[secret]";
  const entries = Object.entries(value).filter(([key]) => !BY_RUN.has(key));
  return Object.fromEntries(entries.map(([key, item]) => [key, comparable(item)]));
}

const SECRET = "4dabf18193072939515e22adb298388d";
const BY_RUN = new Set([
  RAW_STATE,
  // An engine says {} or null for none, depending on how it was asked.
  "DriverOpts",
]);

function urnOf(resource: unknown): string {
  return (resource as Resource).urn;
}

/** Runs the CLI in the program's folder; gives stdout also when it fails, as 18 must. */
function pulumi(env: Record<string, string>, ...args: string[]): Promise<string> {
  const options = {
    cwd: folder,
    maxBuffer: 2 ** 26,
    env: {
      ...process.env,
      PATH: `${join(checkout, "providers", "docker")}:${process.env.PATH}`,
      PULUMI_BACKEND_URL: `file://${folder}`,
      PULUMI_CONFIG_PASSPHRASE: "",
      ...env,
    },
  };
  const cli = join(checkout, "node_modules", ".bin", "pulumi");
  return new Promise((resolve, reject) => {
    execFile(cli, args, options, (error, stdout, stderr) => {
      if (error && stdout === "") reject(new Error(`pulumi ${args.join(" ")}: ${stderr}`));
      else resolve(stdout);
    });
  });
}

function up(env: Record<string, string> = {}): Promise<string> {
  return pulumi(env, "up", "--yes", "--skip-preview", "--non-interactive");
}

function write(name: string, text: string): void {
  writeFileSync(join(folder, name), text);
}

function edit(name: string, from: string, to: string): void {
  write(name, readFileSync(join(folder, name), "utf8").replaceAll(from, to));
}

function readJson(name: string): unknown {
  return JSON.parse(readFileSync(join(recorded, name), "utf8"));
}

async function moveToTakenSubnet(): Promise<void> {
  await docker.createNetwork({
    Name: "rec-taken",
    IPAM: { Config: [{ Subnet: "192.168.47.0/24", Gateway: "192.168.47.1" }] },
  });
  edit("index.ts", "192.168.46.", "192.168.47.");
  edit("index.ts", '"rec-heig"', '"rec-heig2"');
}

async function moveBack(): Promise<void> {
  edit("index.ts", "192.168.47.", "192.168.46.");
  edit("index.ts", '"rec-heig2"', '"rec-heig"');
  await up();
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
