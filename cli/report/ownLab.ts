/** The lab that a report is made on: a stack of its own beside whatever runs, gone at the end. */
import { join } from "node:path";
import { imageNames } from "../../config/topology";
import { connectDocker } from "../../docker/connect";
import { removeImages } from "../../docker/remove";
import { findFreePorts, findFreeSubnet } from "../../preflight/freePlaces";
import { readPulumi, runAside } from "../runPulumi";
import { withLock } from "../setup/lock";
import { cache, checkout, launcher } from "../setup/places";

const STACK = "report-lab";
const NAME_PREFIX = "report-";

/** What the walk does to its lab as a person would. */
export interface OwnLab {
  stack: string;
  /** Of the balancer. */
  url: string;
  statsUrl: string;
  /** Changes the number of declared nodes. */
  scale(nodeCount: number): Promise<void>;
  /** `npm run node -- add`. */
  addNode(name: string): Promise<void>;
}

export interface OwnLabOptions {
  nodeCount: number;
  /** Ends the walk; the lab is then taken down. */
  signal: AbortSignal;
  say: (line: string) => void;
}

/**
 * Deploys the lab, works on it and takes it down, whatever happens. There is one at a time on a
 * machine; what a killed run left goes first.
 *
 * @throws what the work throws, or that the lab could not be taken down
 */
export function withOwnLab<T>(
  { nodeCount, signal, say }: OwnLabOptions,
  work: (lab: OwnLab) => Promise<T>,
): Promise<T> {
  const run = async (command: string[]) => void (await runAside(command, { signal }));
  const pulumi = (...args: string[]) => run([launcher, ...args, "--non-interactive"]);
  const up = () => pulumi("up", "--stack", STACK, "--yes", "--skip-preview");
  const make = async (): Promise<OwnLab> => {
    say("the lab: npx pulumi up, with names, ports and a subnet of its own");
    const { httpPort, statsPort, ...ports } = await findFreePorts(STACK);
    const subnet = await findFreeSubnet(connectDocker(), STACK);
    const config = { namePrefix: NAME_PREFIX, nodeCount, subnet, httpPort, statsPort, ...ports };
    const pairs = Object.entries(config).flatMap(([key, value]) => [
      "--plaintext",
      `${key}=${value}`,
    ]);
    await pulumi("stack", "init", STACK, "--no-select");
    await pulumi("config", "set-all", "--stack", STACK, ...pairs);
    await up();
    return {
      stack: STACK,
      url: `http://127.0.0.1:${httpPort}/`,
      statsUrl: `http://127.0.0.1:${statsPort}/`,
      async scale(nodeCount) {
        await pulumi("config", "set", "nodeCount", String(nodeCount), "--stack", STACK);
        await up();
      },
      addNode: (name) => run(script("node", "add", name, "--stack", STACK)),
    };
  };
  let isWaiting = true;
  const alone = async () => {
    isWaiting = false;
    signal.throwIfAborted();
    if (exists()) {
      say("what an interrupted report left is taken down");
      await takeDown();
    }
    try {
      return await work(await make());
    } finally {
      say("the lab is taken down");
      await takeDown();
    }
  };
  const givenUp = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => isWaiting && reject(signal.reason as Error));
  });
  const done = withLock(join(cache, "report.lock"), alone, (owner) =>
    say(`another report is being made (process ${owner}); waiting for it`),
  );
  return Promise.race([done, givenUp]);
}

const script = (name: string, ...args: string[]) => [
  ...[process.execPath, "--require", "tsx/cjs", join(checkout, "cli", `${name}.ts`)],
  ...args,
];

const listStacks = () => readPulumi("stack", "ls") as { name: string; current: boolean }[];

const exists = () => listStacks().some(({ name }) => name === STACK);

async function takeDown(): Promise<void> {
  if (!exists()) return;
  const pulumi = (...args: string[]) => runAside([launcher, ...args, "--non-interactive"]);
  try {
    await runAside(script("clean", "--stack", STACK));
    await removeImages(Object.values(imageNames({ namePrefix: NAME_PREFIX, stack: STACK })));
    const selected = listStacks().find(({ current }) => current)?.name;
    await pulumi("stack", "rm", STACK, "--yes");
    // Pulumi forgets which stack is selected when it removes any.
    if (selected !== undefined && selected !== STACK) await pulumi("stack", "select", selected);
  } catch (cause) {
    const way = `npm run clean -- --stack ${STACK}`;
    const message = `the report's lab is not taken down; do it with: ${way}`;
    throw new Error(`${message}\n${(cause as Error).message}`, { cause });
  }
}
