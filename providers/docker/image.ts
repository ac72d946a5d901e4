import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { isDeepStrictEqual } from "node:util";
import type Docker from "dockerode";
import { CheckFailure, Context, ResourceType, UNKNOWN, hasUnknown, secret } from "../pluginServer";
import { BuildContext, digestContext, packContext } from "./buildContext";
import { BuildMessage, BuildProgress } from "./buildProgress";
import { Properties, Values, checkInputs, refuse, withoutNotes } from "./properties";

export interface ImageInputs extends Values {
  imageName: string;
  skipPush?: boolean;
  buildOnPreview?: boolean;
  build?: Build;
}

interface Build {
  context?: string;
  dockerfile?: string;
  args?: Record<string, string>;
  platform?: string;
  /** Not the program's: filled in by `check`, so that a changed file shows in the preview. */
  contextDigest?: string;
}

const IMAGE: Properties = {
  imageName: { shape: "string", required: true },
  skipPush: { shape: "boolean" },
  buildOnPreview: { shape: "boolean" },
  build: {
    shape: {
      object: {
        context: { shape: "string" },
        dockerfile: { shape: "string" },
        args: { shape: { map: "string" } },
        platform: { shape: "string" },
      },
    },
  },
};

/** Images built by the engine's BuildKit and kept there; pushing is left to the official plugin. */
export function image(connect: () => Docker): ResourceType<ImageInputs, Values> {
  return {
    check(news) {
      return checkImage(news);
    },

    diff(_id, _state, olds, news) {
      // As in the official plugin: whatever changes, the image is built again in place, and a
      // change inside `build` shows as one of `build`.
      const changed = Object.keys({ ...olds, ...news }).filter(
        (key) => !key.startsWith("__") && !isDeepStrictEqual(olds[key], news[key]),
      );
      return {
        changes: changed.length > 0,
        detailed: Object.fromEntries(changed.map((key) => [key, "update" as const])),
      };
    },

    async create(inputs, context) {
      return { id: inputs.imageName, state: await build(connect(), inputs, context) };
    },

    read(id, state, inputs) {
      if (state === undefined || inputs === undefined) {
        throw new Error(`image ${id} can't be imported, only built`);
      }
      return { id, inputs, state };
    },

    update(_id, _state, _olds, news, context) {
      return build(connect(), news, context);
    },

    delete() {
      // Other stacks and hand-made containers may use the image: it stays.
    },
  };
}

/** Where the build's files are, both relative to the working directory. */
function toBuildContext({ context = ".", dockerfile }: Build): BuildContext {
  return { folder: context, dockerfile: dockerfile ?? join(context, "Dockerfile") };
}

/** Checks what the program wrote and adds the digest of the build's files. */
export function checkImage(news: Values): { inputs: ImageInputs; failures: CheckFailure[] } {
  const { inputs, failures } = checkInputs(IMAGE, news) as {
    inputs: ImageInputs;
    failures: CheckFailure[];
  };
  const refuseValue = (property: string, value: boolean) =>
    failures.push({ property, reason: refuse(`${property}: ${value}`) });
  if (inputs.skipPush !== true) refuseValue("skipPush", false);
  if (inputs.buildOnPreview) refuseValue("buildOnPreview", true);
  if (failures.length > 0) return { inputs, failures };

  const build: Build = { platform: hostPlatform(), ...inputs.build };
  const files = toBuildContext(build);
  if (hasUnknown(files)) build.contextDigest = UNKNOWN;
  else if (existsSync(files.dockerfile)) build.contextDigest = digestContext(files);
  else failures.push({ property: "build.dockerfile", reason: noDockerfile(files) });
  // The official plugin's images, unlike its other resources, note no defaults.
  return { inputs: withoutNotes({ ...inputs, build }), failures };
}

function hostPlatform(): string {
  return `linux/${process.arch === "x64" ? "amd64" : process.arch}`;
}

function noDockerfile({ folder, dockerfile }: BuildContext): string {
  const inside = join(folder, dockerfile);
  const hint = existsSync(inside) ? `; try setting "dockerfile" to "${inside}"` : "";
  return `there is no Dockerfile "${dockerfile}" in ${process.cwd()}${hint}`;
}

/** The least time between two lines of output; each is a message to the engine and maybe a line. */
const OUTPUT_INTERVAL_MS = 1000;

async function build(docker: Docker, inputs: ImageInputs, context: Context): Promise<Values> {
  const { platform, args, ...rest } = inputs.build!;
  const files = toBuildContext(rest);
  const state: Values = {
    __inputs: secret(inputs),
    baseImageName: inputs.imageName,
    context: files.folder,
    dockerfile: hasUnknown(files) ? UNKNOWN : relative(files.folder, files.dockerfile),
    imageName: inputs.imageName,
    platform,
    registryServer: "",
    repoDigest: UNKNOWN,
  };
  if (context.preview) return state;

  const { archive, dockerfile } = packContext(files);
  const messages = (await docker.buildImage(archive, {
    version: "2",
    t: inputs.imageName,
    dockerfile,
    platform,
    buildargs: args,
    abortSignal: context.signal,
  })) as Readable;
  const progress = new BuildProgress();
  let shown = 0;
  const lines = createInterface({ input: messages });
  messages.on("error", () => lines.close());
  for await (const line of lines) {
    for (const text of progress.add(JSON.parse(line) as BuildMessage)) {
      if (!text.startsWith("[") && Date.now() - shown < OUTPUT_INTERVAL_MS) continue;
      shown = Date.now();
      context.log("info", text, true);
    }
  }
  context.signal.throwIfAborted();
  const id = progress.expectImage(inputs.imageName);
  context.log("info", `Image built successfully, local id "${id}"`, true);
  return { ...state, repoDigest: id };
}
