/** The Pulumi CLI and its Node.js language host. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { coerce, gte } from "semver";
import { findOnPath, readOutput, run } from "./commands";
import { download, verifyChecksum } from "./download";
import { cache } from "./places";
import type { Step, Way } from "./step";
import { setLink } from "./toolchain";

/** The version that is downloaded or built: the newest that can be had both ways. */
export const version = "3.246.0";

/** Nothing older has run this program's tests, so an older CLI is left alone, not tried. */
export const oldest = version;

const cli = "pulumi";
const languageHost = "pulumi-language-nodejs";
const home = join(cache, `pulumi-${version}`);

/** A CLI that somebody else installed. */
export interface InstalledCli {
  path: string;
  /** As `pulumi version` prints it. */
  version: string;
  hasLanguageHost: boolean;
}

/** Which CLI to use, or why none of those that are there. */
export type Choice = { use: string } | { missing: string };

/** Prefers what the user installed to what this program keeps in its cache. */
export function chooseCli(installed: InstalledCli | undefined, cached: string | undefined): Choice {
  const objection = objectTo(installed);
  if (installed && objection === undefined) return { use: installed.path };
  return cached === undefined ? { missing: objection ?? "" } : { use: cached };
}

function objectTo(installed: InstalledCli | undefined): string | undefined {
  if (!installed) return "no pulumi is on PATH";
  const { path } = installed;
  if (!isAtLeast(installed.version, oldest)) {
    return `${path} is ${installed.version || "of no known version"}, older than ${oldest}`;
  }
  return installed.hasLanguageHost ? undefined : `${path} comes without ${languageHost}`;
}

/** Compares versions such as `v3.246.0` or `3.247.0-alpha.x1+dirty` by their three numbers. */
export function isAtLeast(found: string, wanted: string): boolean {
  const version = coerce(found);
  return version !== null && gte(version, wanted);
}

/** The name of the official archive, or undefined for a system that has none of this form. */
export function nameArchive(platform: NodeJS.Platform, arch: string): string | undefined {
  const known = ["linux-x64", "linux-arm64", "darwin-x64", "darwin-arm64"];
  const system = `${platform}-${arch}`;
  return known.includes(system) ? `pulumi-v${version}-${system}.tar.gz` : undefined;
}

/** Downloads, or builds where the download is out of reach, once for all checkouts. */
export const pulumiCli: Step = {
  name: "Pulumi CLI",
  check() {
    const choice = choose();
    if ("missing" in choice) return Promise.resolve(undefined);
    const cached = choice.use === join(home, cli);
    setLink(cli, choice.use);
    // Beside its CLI a language host is found without help; it is linked for `which` alone.
    setLink(languageHost, cached ? join(home, languageHost) : undefined);
    return Promise.resolve(`${cached ? version : readVersion(choice.use)}, ${choice.use}`);
  },
  ways() {
    const choice = choose();
    const why = "missing" in choice ? choice.missing : "";
    const ways = [downloadArchive(why), buildModules(why)];
    return Promise.resolve(ways.filter((way) => way !== undefined));
  },
  help:
    `install Pulumi ${oldest} or newer (https://www.pulumi.com/docs/install/) so that \`pulumi\` is ` +
    "on PATH, or Go (https://go.dev/dl/) so that it can be built, then run the same command again",
};

function choose(): Choice {
  const path = findOnPath(cli);
  const installed = path && {
    path,
    version: readVersion(path),
    hasLanguageHost:
      existsSync(join(dirname(realpathSync(path)), languageHost)) ||
      findOnPath(languageHost) !== undefined,
  };
  return chooseCli(installed || undefined, existsSync(home) ? join(home, cli) : undefined);
}

function readVersion(path: string): string {
  return readOutput(path, ["version"])?.replace(/^v/, "") ?? "";
}

function downloadArchive(why: string): Way | undefined {
  const archive = nameArchive(process.platform, process.arch);
  if (archive === undefined) return undefined;
  const releases = "https://get.pulumi.com/releases/sdk";
  return {
    does: `download ${version} from get.pulumi.com, because ${why}`,
    run: () =>
      fillHome(async (folder) => {
        const checksums = `${folder}.txt`;
        const file = `${folder}.tar.gz`;
        try {
          await download(`${releases}/pulumi-${version}-checksums.txt`, checksums);
          await download(`${releases}/${archive}`, file);
          await verifyChecksum(file, archive, readFileSync(checksums, "utf8"));
          await run(["tar", "-xzf", file, "-C", folder, "--strip-components=1"]);
        } finally {
          rmSync(checksums, { force: true });
          rmSync(file, { force: true });
        }
      }),
  };
}

/** The two modules are pinned in go.mod and go.sum beside this file. */
function buildModules(why: string): Way {
  const go = join(__dirname, "pulumi-cli", "go.mod");
  const needed = /^go (\S+)$/m.exec(readFileSync(go, "utf8"))?.[1];
  return {
    does: `build ${version} from its Go modules (about 6 minutes, once), because ${why}`,
    run: () =>
      fillHome(async (folder) => {
        if (!findOnPath("go")) throw new Error(`Go ${needed} or newer is needed, none is on PATH`);
        const stamp = `-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=${version}`;
        await build(folder, "pulumi-cli", "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", stamp);
        await build(
          folder,
          "language-host",
          "github.com/pulumi/pulumi/sdk/v3/nodejs/cmd/pulumi-language-nodejs",
        );
      }),
  };
}

function build(folder: string, module: string, program: string, stamp = ""): Promise<void> {
  const flags = ["-mod=readonly", "-trimpath", "-buildvcs=false", `-ldflags=-s -w ${stamp}`];
  return run(["go", "build", ...flags, "-o", `${folder}/`, program], {
    cwd: join(__dirname, module),
    env: { ...process.env, CGO_ENABLED: "0" },
  });
}

/** A folder that is filled aside and renamed when it is whole. */
async function fillHome(fill: (folder: string) => Promise<void>): Promise<void> {
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, "partial-pulumi-"));
  try {
    await fill(folder);
    if (!isAtLeast(readVersion(join(folder, cli)), version)) {
      throw new Error(`what was made does not answer \`pulumi version\` with ${version}`);
    }
    renameSync(folder, home);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
