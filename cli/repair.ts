/**
 * `npm run repair`: clears away what an interrupted update left, so that the next one completes.
 * What a state records is never touched, so a lab that runs keeps serving.
 */
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { hostname, userInfo } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { parse } from "yaml";
import { STACK_LABEL } from "../config/topology";
import { connectEngine, isNotFound } from "../docker/engine";
import { listProcesses } from "./processes";
import {
  chooseContainers,
  chooseNetworks,
  describeContainer,
  explainLock,
  judgeLock,
  listHelpers,
  listUnfinished,
  locateState,
  type Deployment,
  type Evidence,
  type LabelledContainer,
  type LabelledNetwork,
  type Lock,
  type PastUpdate,
} from "./repairPlan";
import { readPulumi, runPulumi } from "./runPulumi";
import { checkout } from "./setup/places";
import { chooseStack, readDeployment, runCommand } from "./stack";

const say = (line: string) => console.log(line);

/** So many past updates are looked at for the making of something that no state records. */
const RECENT_UPDATES = "10";

/** A record that is not whole after this is not being written any more. */
const WRITING_MS = 200;

/**
 * Clears the locks of dead processes, what still runs of their updates, the containers and the
 * unused network that no state records and the record of unfinished operations; says each thing
 * that it does. Can be run again at any time, also after it was itself interrupted.
 *
 * @param asked name of the stack; without one the selected stack, else `dev`
 * @throws if something else holds the stack, saying what to do; if there is no such stack
 */
export async function repair(asked?: string): Promise<void> {
  // The launcher need not recommend what is being done.
  process.env.LAB_REPAIR = "running";
  const { project, url, folder } = readBackend();
  // Before anything is asked of Pulumi, which can't list the stacks while one has such records.
  const mended = folder !== undefined && mendRecords(folder);
  const stack = chooseStack(asked);
  const repaired =
    folder === undefined
      ? await repairElsewhere(stack, project, url)
      : await repairFiles(stack, project, folder);
  say(
    repaired || mended
      ? `Stack ${stack} is repaired; the next update completes what was interrupted.`
      : `Nothing to repair: no update of stack ${stack} was interrupted.`,
  );
}

async function repairFiles(stack: string, project: string, folder: string): Promise<boolean> {
  const locks = join(folder, ".pulumi", "locks", "organization", project, stack);
  const { found, evidence } = await whileHolding(locks, stack, async (unlocked) => {
    const ended = await endOrphans();
    const evidence = readEvidence(stack, project);
    const removed = await removeUnrecorded(stack, evidence);
    return { found: unlocked || ended || removed, evidence };
  });
  // Last, for it ends what shows that there is something to repair.
  return (await refreshAfterInterruption(stack, evidence, found)) || found;
}

async function repairElsewhere(stack: string, project: string, url: string): Promise<boolean> {
  say(
    `The locks of ${url} can't be judged from here; if one is left of an update that is over, ` +
      `run: npx pulumi cancel --stack ${stack}`,
  );
  const ended = await endOrphans();
  const evidence = readEvidence(stack, project);
  // Pulumi refuses while another command holds the stack; without that nothing is removed.
  const refreshed = await refreshAfterInterruption(stack, evidence, ended);
  if (refreshed) await removeUnrecorded(stack, evidence);
  return refreshed;
}

/**
 * Whether an update of the stack was cut off. Reads some files of a file backend, nothing else;
 * false while a process is at work on the stack, and for other backends.
 */
export function isInterrupted(stack: string): boolean {
  const { project, folder } = readBackend();
  if (folder === undefined) return false;
  const records = join(folder, ".pulumi");
  const lockFolder = join(records, "locks", "organization", project, stack);
  const locks = readLocks(lockFolder);
  if (locks.some(({ verdict }) => verdict !== "dead")) return false;
  if (locks.length + listFiles(lockFolder, ".tmp").length > 0) return true;
  const state = readJson(join(records, "stacks", project, `${stack}.json`)) as
    { checkpoint: { latest?: Deployment } } | undefined;
  if (listUnfinished(state?.checkpoint.latest ?? {}).length > 0) return true;
  const history = join(records, "history", project, stack);
  // Their names hold the time in a fixed number of digits.
  const last = listFiles(history, ".history.json").sort().at(-1);
  const update = last && (readJson(join(history, last)) as PastUpdate | undefined);
  return update ? update.result !== "succeeded" : false;
}

/** The project's name and where its states are; no folder means another backend than files. */
function readBackend(): { project: string; url: string; folder?: string } {
  const { name, backend } = parse(readFileSync(join(checkout, "Pulumi.yaml"), "utf8")) as {
    name: string;
    backend?: { url?: string };
  };
  const url = process.env.PULUMI_BACKEND_URL || backend?.url || "the backend you are logged in to";
  return { project: name, url, folder: locateState(url, checkout) };
}

type FoundLock = Lock & { file: string; verdict: ReturnType<typeof judgeLock> };

function readLocks(folder: string): FoundLock[] {
  return listFiles(folder, ".json").flatMap((name) => {
    const file = join(folder, name);
    const lock = readJson(file) as Lock | undefined;
    if (lock === undefined) return []; // given back between two looks
    return [{ ...lock, file, verdict: judgeLock(lock, hostname(), readProcessName(lock.pid)) }];
  });
}

/** The name of a running process, undefined if there is none of this number. */
function readProcessName(pid: number): string | undefined {
  if (process.platform === "linux") return readText(`/proc/${pid}/comm`);
  try {
    return execFileSync("ps", ["-o", "comm=", "-p", String(pid)], { encoding: "utf8" });
  } catch {
    return undefined;
  }
}

/**
 * Removes the locks of dead processes and does the work while holding a lock as Pulumi's own, so
 * that no update can begin in the middle of it.
 */
async function whileHolding<T>(
  folder: string,
  stack: string,
  work: (unlocked: boolean) => Promise<T>,
): Promise<T> {
  mkdirSync(folder, { recursive: true });
  const mine = join(folder, `${randomUUID()}.json`);
  const owner = { pid: process.pid, username: userInfo().username, hostname: hostname() };
  writeFileSync(mine, JSON.stringify({ ...owner, timestamp: new Date().toISOString() }));
  try {
    // After the own one is there, as Pulumi does: of two at the same time no one overlooks the other.
    const others = readLocks(folder).filter(({ file }) => file !== mine);
    for (const lock of others) {
      if (lock.verdict !== "dead") throw new Error(explainLock(lock, lock.verdict, stack));
    }
    for (const { file, pid } of others) {
      rmSync(file);
      rmSync(`${file}.attrs`, { force: true });
      say(`Removed the lock of process ${pid}, which is gone.`);
    }
    return await work(others.length > 0);
  } finally {
    rmSync(mine);
  }
}

/** Ends the helpers of this checkout's updates whose engine is gone. @returns whether there were any */
async function endOrphans(): Promise<boolean> {
  const helpers = listHelpers(listProcesses(), checkout);
  const answers = await Promise.all(helpers.map(({ engine }) => isListening(engine)));
  const orphans = helpers.filter((_, i) => !answers[i]);
  for (const { pid } of orphans) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      continue; // it ended by itself
    }
    say(`Ended process ${pid}, which worked for an update that is gone.`);
  }
  return orphans.length > 0;
}

function isListening(address: string): Promise<boolean> {
  const [, host, port] = /^(.*):(\d+)$/.exec(address)!;
  return new Promise((resolve) => {
    const socket = connect(Number(port), host);
    socket
      .on("error", () => resolve(false))
      .on("connect", () => {
        resolve(true);
        socket.destroy();
      });
  });
}

/**
 * Removes what a killed CLI left half written of its records: files that were not yet given their
 * name, which Pulumi takes for locks, and notes on a file's type and digest, without which it reads
 * the file but which it refuses to read cut off.
 *
 * @returns whether there was anything
 */
export function mendRecords(folder: string): boolean {
  const records = join(folder, ".pulumi");
  const all = existsSync(records)
    ? readdirSync(records, { recursive: true, encoding: "utf8" })
    : [];
  const broken = all.filter((name) => isHalfWritten(join(records, name)));
  for (const name of broken) {
    rmSync(join(records, name), { force: true });
    say(`Removed ${name}, which was half written.`);
  }
  return broken.length > 0;
}

function isHalfWritten(file: string): boolean {
  const stats = statSync(file, { throwIfNoEntry: false });
  // A process that lives is through with either in far less time.
  if (stats === undefined || Date.now() - stats.mtimeMs < WRITING_MS) return false;
  return file.endsWith(".tmp") || (file.endsWith(".attrs") && isBroken(file));
}

function isBroken(file: string): boolean {
  try {
    readJson(file);
    return false;
  } catch {
    return true;
  }
}

function readEvidence(stack: string, project: string): Evidence {
  const deployment = readDeployment(stack);
  const recent = ["--page-size", RECENT_UPDATES, "--page", "1"];
  const history = readPulumi("stack", "history", ...recent, "--stack", stack) as PastUpdate[];
  return { deployment, history, project };
}

/** Removes what is this stack's and in no state. @returns whether there was anything */
async function removeUnrecorded(stack: string, evidence: Evidence): Promise<boolean> {
  const containers = chooseContainers(await listContainers(stack), evidence);
  for (const { id, name } of containers) {
    await removeContainer(id);
    say(`Removed container ${name}, which no state records.`);
  }
  const networks = chooseNetworks(await listNetworks(stack), evidence);
  for (const { id, name } of networks) {
    await connectEngine().getNetwork(id).remove();
    say(`Removed network ${name}, which no state records.`);
  }
  return containers.length + networks.length > 0;
}

/**
 * Lets Pulumi drop the unfinished operations and read what the finished ones did: an update or a
 * removal that was not recorded would be taken as not done.
 */
async function refreshAfterInterruption(
  stack: string,
  { deployment, history }: Evidence,
  wasRepaired: boolean,
): Promise<boolean> {
  const unfinished = listUnfinished(deployment);
  const last = history[0]?.result ?? "succeeded";
  if (unfinished.length === 0 && last === "succeeded" && !wasRepaired) return false;
  if (unfinished.length > 0) {
    say(`Clearing the record of unfinished operations: ${unfinished.join(", ")}.`);
  }
  say("Reading what the unfinished update did:");
  const quiet = ["--suppress-outputs", "--suppress-progress"];
  const options = ["--yes", "--skip-preview", "--clear-pending-creates", ...quiet];
  await runPulumi("refresh", ...options, "--stack", stack);
  return true;
}

async function listContainers(stack: string): Promise<LabelledContainer[]> {
  const filters = { label: [`${STACK_LABEL}=${stack}`] };
  const found = await connectEngine().listContainers({ all: true, filters });
  return found.map(describeContainer);
}

async function listNetworks(stack: string): Promise<LabelledNetwork[]> {
  const filters = { label: [`${STACK_LABEL}=${stack}`] };
  const found = await connectEngine().listNetworks({ filters });
  return Promise.all(
    found.map(async ({ Id, Name, Created }) => {
      const on = { all: true, filters: { network: [Id] } };
      const used = (await connectEngine().listContainers(on)).length > 0;
      return { id: Id, name: Name, created: Math.floor(Date.parse(Created) / 1000), used };
    }),
  );
}

/** The killed update's provider may be removing it at the same time. */
async function removeContainer(id: string): Promise<void> {
  const container = connectEngine().getContainer(id);
  try {
    await container.remove({ force: true, v: true });
  } catch (error) {
    if (isNotFound(error)) return;
    if ((error as { statusCode?: number }).statusCode !== 409) throw error;
    await container.wait({ condition: "removed" }).catch(() => undefined);
  }
}

function listFiles(folder: string, extension: string): string[] {
  try {
    return readdirSync(folder).filter((name) => name.endsWith(extension));
  } catch {
    return []; // nothing was ever kept there
  }
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

function readJson(file: string): unknown {
  const text = readText(file);
  return text === undefined ? undefined : JSON.parse(text);
}

if (require.main === module) {
  const options = { stack: { type: "string" } } as const;
  runCommand(() => repair(parseArgs({ options }).values.stack));
}
