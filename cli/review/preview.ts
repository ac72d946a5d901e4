/** A review with an engine: the base deployed, the head previewed on it, everything taken down. */
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parse, stringify } from "yaml";
import { imageNames } from "../../config/topology";
import { connectDocker } from "../../docker/connect";
import { removeImages } from "../../docker/remove";
import { findFreePorts, findFreeSubnet } from "../../preflight/freePlaces";
import { runAside } from "../runPulumi";
import { launcher } from "../setup/places";
import { place, restore, type Place, type Values } from "./config";
import type { Findings, Step } from "./markdown";
import type { Source, Sources } from "./sources";

/** The part of `pulumi preview --json` that is read here. */
interface PreviewJson {
  changeSummary?: { same?: number };
  steps: {
    op: string;
    urn: string;
    oldState?: State;
    newState?: State;
    replaceReasons?: string[] | null;
  }[];
}

interface State {
  type: string;
  inputs?: Record<string, unknown>;
}

/**
 * Deploys, previews, destroys, also when interrupted.
 *
 * @throws for a version that is for a Swarm, before anything is made; what Pulumi said of one that does not deploy
 *   or preview
 */
export async function previewOnBase(
  { base, head, folder }: Sources,
  say: (line: string) => void,
): Promise<Findings> {
  for (const { name, values } of [base, head]) {
    if (values.orchestrator !== "swarm") continue;
    throw new Error(
      `orchestrator: got "swarm" in ${name}, expected docker: without registryPassword, which is a secret of ` +
        "the stack, nothing can be pushed; --offline compares haproxy.cfg",
    );
  }
  const stack = `review-${randomBytes(4).toString("hex")}`;
  const [baseAt, headAt] = [await choosePlace(stack, "a"), await choosePlace(stack, "b")];
  const basePlaced = place(base.values, baseAt, base.values, baseAt);
  const headPlaced = place(head.values, headAt, base.values, baseAt);

  const state = join(folder, "state");
  mkdirSync(state, { mode: 0o700 });
  const interruption = new AbortController();
  const stop = () => interruption.abort(new Error("interrupted"));
  const env = {
    ...process.env,
    PULUMI_BACKEND_URL: `file://${state}`,
    PULUMI_CONFIG_PASSPHRASE: "",
    PULUMI_CONFIG_PASSPHRASE_FILE: undefined,
  };
  const run: Run = async ({ folder: cwd }, args, signal) => {
    const command = [launcher, ...args, "--stack", stack, "--non-interactive", "--color", "never"];
    return runAside(command, { cwd, env, signal }).catch((error: Error) => {
      signal?.throwIfAborted();
      throw new Error(`pulumi ${args[0]} in ${basename(cwd)} failed:\n${error.message}`);
    });
  };
  for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, stop);
  try {
    await run(base, ["stack", "init", "--no-select"]);
    await configure(base, basePlaced, run, stack);
    await configure(head, headPlaced, run, stack);
    try {
      say(`deploying ${base.name} as ${stack}`);
      await run(base, ["up", "--yes", "--skip-preview"], interruption.signal);
      say(`previewing ${head.name}`);
      const json = await run(head, ["preview", "--json"], interruption.signal);
      const { steps, changeSummary } = JSON.parse(json) as PreviewJson;
      const text = await run(
        head,
        ["preview", "--diff", "--suppress-progress"],
        interruption.signal,
      );
      const toBase = (text: string) => restore(text, base.values, basePlaced);
      const toHead = (text: string) => restore(text, head.values, headPlaced);
      const forget = (text: string) => text.replaceAll(stack, "dev");
      return {
        base,
        head,
        config: readConfig(steps, toBase, toHead),
        preview: {
          // A replacement is listed as itself and in its two halves.
          steps: steps
            .filter(({ op }) => !/^(same|create-replacement|delete-replaced)$/.test(op))
            .map(describeStep),
          unchanged: changeSummary?.same ?? 0,
          text: forget(toHead(toBase(diffPart(text)))),
        },
      };
    } finally {
      say("taking it down");
      await run(base, ["destroy", "--yes", "--skip-preview"]);
      const namePrefix = basePlaced.namePrefix as string;
      await removeImages(Object.values(imageNames({ namePrefix, stack })));
    }
  } finally {
    for (const name of ["SIGINT", "SIGTERM"] as const) process.off(name, stop);
  }
}

type Run = (source: Source, args: string[], signal?: AbortSignal) => Promise<string>;

async function choosePlace(stack: string, side: string): Promise<Place> {
  const name = `${stack}${side}`;
  const ports = await findFreePorts(name);
  return { ...ports, namePrefix: `${name}-`, subnet: await findFreeSubnet(connectDocker(), name) };
}

/** Writes the stack's file in a version's folder; its salt is the one that `stack init` wrote. */
async function configure(source: Source, placed: Values, run: Run, stack: string): Promise<void> {
  const file = join(source.folder, `Pulumi.${stack}.yaml`);
  const salted = join(source.folder, "..", "base", `Pulumi.${stack}.yaml`);
  const { encryptionsalt } = parse(readFileSync(salted, "utf8")) as { encryptionsalt: string };
  const project = readFileSync(join(source.folder, "Pulumi.yaml"), "utf8");
  const { name, config: keys } = parse(project) as { name: string; config: object };
  const plain = Object.entries(placed).filter(
    // An older version refuses a key that it does not have yet.
    ([key, value]) => key in keys && value !== undefined && !isSecret(value),
  );
  const config = Object.fromEntries(plain.map(([key, value]) => [`${name}:${key}`, value]));
  writeFileSync(file, stringify({ encryptionsalt, config }));
  for (const [key, value] of Object.entries(placed)) {
    if (isSecret(value)) await run(source, ["config", "set", "--secret", key, value.secret]);
  }
}

const isSecret = (value: unknown): value is { secret: string } =>
  typeof (value as { secret?: unknown } | null)?.secret === "string";

function describeStep({
  op,
  urn,
  oldState,
  newState,
  replaceReasons,
}: PreviewJson["steps"][0]): Step {
  const type = (newState ?? oldState)?.type ?? "";
  return {
    op,
    name: urn.slice(urn.lastIndexOf("::") + 2),
    type,
    replacedFor: replaceReasons ?? [],
  };
}

/** The text of the resource that is haproxy.cfg, before and after. */
function readConfig(
  steps: PreviewJson["steps"],
  toBase: (text: string) => string,
  toHead: (text: string) => string,
): Findings["config"] {
  const step = steps.find(({ urn }) =>
    /::lab:[^:]*:HaproxyConfig::|\$lab:index:HaproxyConfig::/.test(urn),
  );
  const textOf = (state?: State) => (state?.inputs?.text as string | undefined) ?? "";
  return { before: toBase(textOf(step?.oldState)), after: toHead(textOf(step?.newState)) };
}

/** Without the first lines, which say what is done, and the outputs of a stack that is thrown away. */
function diffPart(text: string): string {
  return text.replace(/^Previewing update.*\n+/, "").trimEnd();
}
