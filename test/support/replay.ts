/** The recorded steps of the official Docker plugin, run under the offline provider. */
import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const checkout = join(__dirname, "..", "..");

/** Of a step: its variables, and what happened between the recorded commands. */
export interface Step {
  env?: Record<string, string>;
  before?: () => unknown;
}

export interface Resource {
  urn: string;
  type: string;
  id: string;
  inputs: Record<string, unknown>;
  outputs: Record<string, unknown>;
}

interface Stack {
  deployment: { resources: Resource[] };
}

/** A recorded program in a folder of its own, as the stack `dev`. */
export class Replay {
  private readonly folder = mkdtempSync(join(tmpdir(), "docker-provider-"));

  private constructor(
    private readonly recorded: string,
    private readonly env: Record<string, string>,
  ) {}

  /**
   * @param name of the folder in test/support/recorded
   * @param project the recorded program's
   * @param env variables for all commands
   */
  static async start(
    name: string,
    project: string,
    env: Record<string, string> = {},
  ): Promise<Replay> {
    const replay = new Replay(join(__dirname, "recorded", name), env);
    const { folder, recorded } = replay;
    cpSync(join(recorded, "images"), join(folder, "images"), { recursive: true });
    cpSync(join(recorded, "program.txt"), join(folder, "index.ts"));
    symlinkSync(join(checkout, "node_modules"), join(folder, "node_modules"));
    replay.write("Pulumi.yaml", `name: ${project}\nruntime: nodejs\n`);
    replay.write("package.json", JSON.stringify({ main: "index.ts" }));
    replay.write("tsconfig.json", JSON.stringify({ compilerOptions: { module: "node16" } }));
    await replay.pulumi({}, "stack", "init", "dev");
    return replay;
  }

  end(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Runs the command of a recorded step; gives what was recorded, and what it says now. */
  async run(file: string, { env = {}, before }: Step): Promise<{ record: string; output: string }> {
    await before?.();
    const record = readFileSync(join(this.recorded, `${file}.txt`), "utf8");
    const [command] = record.split("\n", 1);
    const output = await this.pulumi(env, ...command.replace("$ pulumi ", "").split(" "));
    return { record, output };
  }

  /** Runs the CLI in the program's folder; gives stdout also when it fails. */
  pulumi(env: Record<string, string>, ...args: string[]): Promise<string> {
    const options = {
      cwd: this.folder,
      maxBuffer: 2 ** 26,
      env: {
        ...process.env,
        PATH: `${join(checkout, "providers", "docker")}:${process.env.PATH}`,
        PULUMI_BACKEND_URL: `file://${this.folder}`,
        PULUMI_CONFIG_PASSPHRASE: "",
        PULUMI_OPTION_SUPPRESS_OUTPUTS: "false",
        PULUMI_OPTION_DIFF: "false",
        ...this.env,
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

  up(env: Record<string, string> = {}): Promise<string> {
    return this.pulumi(env, "up", "--yes", "--skip-preview", "--non-interactive");
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.folder, name), text);
  }

  edit(name: string, from: string, to: string): void {
    this.write(name, readFileSync(join(this.folder, name), "utf8").replaceAll(from, to));
  }

  readJson(name: string): unknown {
    return JSON.parse(readFileSync(join(this.recorded, name), "utf8"));
  }

  async exportStack(): Promise<Stack> {
    return JSON.parse(await this.pulumi({}, "stack", "export")) as Stack;
  }
}

export function dockerResources({ resources }: Stack["deployment"]): Resource[] {
  return resources
    .filter(({ type }) => type.startsWith("docker:"))
    .map(({ urn, type, id, inputs, outputs }) => ({ urn, type, id, inputs, outputs }));
}

/** Operations by resource in their order, blocks of a diff by resource, and the summary. */
export function summarize(output: string): Record<string, string[]> {
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
    .replace(ID, "<id>");
}

/** An image's, a container's, a network's, in full or short; that of an object of a Swarm. */
const ID = /\b(?:[0-9a-f]{64}|[0-9a-f]{12}|[0-9a-z]{25})\b/g;

/** The official plugin's note on how its framework's state differs from the outputs. */
export const RAW_STATE = "__pulumi_raw_state_delta";

/** Without what differs by run, and without the bookkeeping of the official plugin's framework. */
export function comparable(value: unknown): unknown {
  if (Array.isArray(value)) {
    const items = value.map(comparable);
    const isResources = (value as Partial<Resource>[]).every((item) => item?.urn !== undefined);
    return isResources ? items.sort((a, b) => urnOf(a).localeCompare(urnOf(b))) : items;
  }
  if (typeof value === "string") return value.replace(ID, "<id>");
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
  // A Swarm gives the next one that is free.
  "com.docker.network.driver.overlay.vxlanid_list",
]);

function urnOf(resource: unknown): string {
  return (resource as Resource).urn;
}
