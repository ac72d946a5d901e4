/** The root file system that the lab's images are built on. */
import {
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import { connectDocker } from "../../docker/connect";
import { hasImage } from "../../docker/image";
import { findMirrors, parseDeb822, parseOneLine, type AptSource } from "./aptSources";
import { asRoot, findOnPath, installPackages, run } from "./commands";
import { cache } from "./places";
import type { Step, Way } from "./step";

const suite = "trixie";
/** The image that images/base starts from. */
export const BASE_IMAGE = `debian:${suite}-slim`;
/** The keys of Debian's archive: debootstrap makes nothing that they did not sign. */
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
/** How long a registry may say nothing. */
const patienceMs = 15_000;

/** The step for an image name; the name is a parameter so that a trial can leave the real one. */
export function baseImage(image = BASE_IMAGE): Step {
  return {
    name: "Base image",
    check: async () => ((await hasImage(connectDocker(), image)) ? image : undefined),
    ways: () =>
      Promise.resolve([
        {
          does: `pull ${image}, because the engine does not have it`,
          run: () => pull(image),
        },
        ...debootstrapWays(image),
      ]),
    help: `\`docker pull ${BASE_IMAGE}\`, or \`docker load\` it from a machine that can, then run the same command again`,
  };
}

async function pull(image: string): Promise<void> {
  const docker = connectDocker();
  const giveUp = new AbortController();
  const timer = setTimeout(
    () => giveUp.abort(new Error(`the registry said nothing for ${patienceMs / 1000} s`)),
    patienceMs,
  );
  try {
    const progress = await docker.pull(image, { abortSignal: giveUp.signal });
    await new Promise<void>((resolve, reject) => {
      giveUp.signal.addEventListener("abort", () => reject(giveUp.signal.reason as Error));
      docker.modem.followProgress(
        progress,
        (error) => (error ? reject(error) : resolve()),
        () => timer.refresh(),
      );
    });
  } catch (error) {
    throw giveUp.signal.aborted ? (giveUp.signal.reason as Error) : error;
  } finally {
    clearTimeout(timer);
  }
}

/** One for each repository that may be Debian's: debootstrap checks the archive's signature. */
function debootstrapWays(image: string): Way[] {
  if (!findOnPath("apt-get") || !asRoot([])) return [];
  return findMirrors(readMachineSources(), readCodename()).map((mirror) => ({
    does: `make it with debootstrap from the Debian mirror in this machine's apt sources, because it cannot be pulled`,
    run: () => debootstrap(image, mirror),
  }));
}

async function debootstrap(image: string, mirror: string): Promise<void> {
  if (!findOnPath("debootstrap", `${process.env.PATH}:/usr/sbin`) || !existsSync(KEYRING)) {
    await installPackages("debootstrap", "debian-archive-keyring");
  }
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, "partial-image-"));
  const archive = join(folder, "archive");
  try {
    await run(asRoot([join(__dirname, "debootstrap.sh"), suite, mirror, archive])!);
    await importImage(archive, image);
    await checkMirrorFromInside(image);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function importImage(archive: string, image: string): Promise<void> {
  const docker = connectDocker();
  const [repo, tag] = image.split(":");
  const changes = 'CMD ["bash"]';
  const progress = await docker.importImage(createReadStream(archive), { repo, tag, changes });
  await new Promise<void>((resolve, reject) =>
    docker.modem.followProgress(progress, (error) => (error ? reject(error) : resolve())),
  );
}

/** A mirror that the machine reaches may be out of its containers' reach: said now, not in a build. */
async function checkMirrorFromInside(image: string): Promise<void> {
  let output = "";
  const stdout = new Writable({
    write(chunk: Buffer, _encoding, done) {
      output += chunk.toString();
      done();
    },
  });
  const [{ StatusCode }] = (await connectDocker().run(image, ["apt-get", "update"], stdout, {
    HostConfig: { AutoRemove: true },
  })) as [{ StatusCode: number }];
  if (StatusCode !== 0) {
    await connectDocker().getImage(image).remove();
    throw new Error(`containers cannot reach that mirror:\n    ${output.trim()}`);
  }
}

function readMachineSources(folder = "/etc/apt"): AptSource[] {
  const lists = join(folder, "sources.list.d");
  const names = existsSync(lists) ? readdirSync(lists).sort() : [];
  return [join(folder, "sources.list"), ...names.map((name) => join(lists, name))]
    .filter((file) => existsSync(file))
    .flatMap((file) => {
      const text = readFileSync(file, "utf8");
      if (file.endsWith(".list")) return parseOneLine(text);
      return file.endsWith(".sources") ? parseDeb822(text) : [];
    })
    .flatMap(expandMirrorFile);
}

/** Debian's cloud images name their mirrors in a file of their own, see apt-transport-mirror(1). */
function expandMirrorFile(source: AptSource): AptSource[] {
  const file = /^mirror\+file:(?:\/\/)?(\/.*)$/.exec(source.uri)?.[1];
  if (file === undefined) return [source];
  if (!existsSync(file)) return [];
  const uris = readFileSync(file, "utf8").match(/^\S+/gm) ?? [];
  return uris.map((uri) => ({ ...source, uri }));
}

function readCodename(): string {
  const file = "/etc/os-release";
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  return /^VERSION_CODENAME="?([a-z]+)/m.exec(text)?.[1] ?? "";
}
