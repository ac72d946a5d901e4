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
  registry?: Registry;
}

interface Registry {
  server: string;
  username: string;
  password: string;
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
  registry: {
    shape: {
      object: {
        server: { shape: "string", required: true },
        username: { shape: "string", required: true },
        password: { shape: "string", required: true },
      },
    },
    secret: true,
  },
};

/** Images built by the engine's BuildKit, and pushed to a registry unless `skipPush` says not to. */
export function image(connect: () => Docker): ResourceType<ImageInputs, Values> {
  return {
    check(news) {
      return checkImage(news);
    },

    diff(_id, _state, olds, news) {
      // As in the official plugin: whatever changes, the image is built again in place, and a
      // change inside `build` shows as one of `build`. Who pushes it changes nothing.
      const [before, after] = [olds, news].map(({ registry, ...rest }) => ({
        ...rest,
        registry: registry?.server,
      })) as Values[];
      const changed = Object.keys({ ...before, ...after }).filter(
        (key) => !key.startsWith("__") && !isDeepStrictEqual(before[key], after[key]),
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
  const { imageName, skipPush, registry } = inputs;
  if (skipPush !== true && registry === undefined) refuseValue("skipPush", false);
  if (inputs.buildOnPreview) refuseValue("buildOnPreview", true);
  if (failures.length > 0) return { inputs, failures };
  const server = skipPush ? undefined : registry?.server;
  if (server && !hasUnknown([imageName, server]) && !imageName.startsWith(`${server}/`)) {
    // The engine would push to another registry, and give that the password.
    const reason = `property "imageName" must begin with "${server}/", not "${imageName}"`;
    failures.push({ property: "imageName", reason });
  }

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

/** The least time between two lines of output; each is a message to the Pulumi engine and maybe a line. */
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
    registryServer: inputs.registry?.server ?? "",
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
  for await (const message of parseLines<BuildMessage>(messages)) {
    for (const text of progress.add(message)) {
      if (!text.startsWith("[") && Date.now() - shown < OUTPUT_INTERVAL_MS) continue;
      shown = Date.now();
      context.log("info", text, true);
    }
  }
  // One that is there already is recorded, also of an update that is being cut off.
  if (progress.imageId === undefined) context.signal.throwIfAborted();
  const id = progress.expectImage(inputs.imageName);
  context.log("info", `Image built successfully, local id "${id}"`, true);
  return { ...state, repoDigest: inputs.skipPush ? id : await push(docker, inputs, context) };
}

/** Gives the image by its digest in the registry. */
async function push(
  docker: Docker,
  { imageName, registry }: ImageInputs,
  { log, signal }: Context,
): Promise<string> {
  const { server, ...user } = registry!;
  const [, repository, tag = "latest"] = /^(.*?)(?::([^:/]+))?$/.exec(imageName)!;
  const fail = (words: string) => new Error(`push of ${imageName} to ${server} failed: ${words}`);
  log("info", "Pushing Image to the registry", true);
  const messages = (await docker
    .getImage(repository)
    .push({ tag, authconfig: { ...user, serveraddress: server }, abortSignal: signal })
    .catch((error: Error) => {
      throw fail(error.message);
    })) as Readable;
  let digest: string | undefined;
  for await (const { error, aux } of parseLines<PushMessage>(messages)) {
    if (error !== undefined) throw fail(error);
    digest ??= aux?.Digest;
  }
  signal.throwIfAborted();
  if (digest === undefined) throw fail("the engine gave no digest");
  log("info", `Pushed image with digest ${digest}`, true);
  return `${repository}@${digest}`;
}

/** One line of the engine's answer to a push. */
interface PushMessage {
  error?: string;
  aux?: { Digest?: string };
}

async function* parseLines<Message>(messages: Readable): AsyncGenerator<Message> {
  const lines = createInterface({ input: messages });
  messages.on("error", () => lines.close());
  for await (const line of lines) yield JSON.parse(line) as Message;
}
