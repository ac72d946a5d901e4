/**
 * `npm run machines -- N | up | kill N | start N | down | list`: several machines on one: Docker engines in
 * containers, a Swarm of them and a registry.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connectDocker } from "../docker/connect";
import { chooseEndpoint, type Endpoint } from "../docker/endpoint";
import { copyImage, hasImage } from "../docker/image";
import { buildEngineImage, nameEngineImage } from "../machines/engine";
import {
  connectMachine,
  findNetwork,
  listMachines,
  makeNetwork,
  MOST_MACHINES,
  nameMachine,
  NETWORK,
  readRegistryState,
  REGISTRY,
  removeMachines,
  startMachine,
  type Machine,
} from "../machines/machines";
import { startRegistry } from "../machines/registry";
import { awaitReady, formSwarm, listSwarmStates, readSwarmState } from "../machines/swarm";
import { parseCommand, runCommand, UsageError } from "./command";
import { describeMachines, describeNext, describeUse } from "./describeMachines";
import { setUp } from "./setup";
import { BASE_IMAGE } from "./setup/baseImage";
import { cache } from "./setup/places";
import { complete, type Step } from "./setup/step";

const DEFAULT_COUNT = 3;

const USAGE = `usage: npm run machines -- [N | up | kill N | start N | down | list]

Several machines on this one: Docker engines in containers, a Swarm of them and a registry. Without an argument,
as with list, it says what there is.

  N        N machines, 1 to ${MOST_MACHINES}: makes what is missing, starts what is stopped
  up       the same for ${DEFAULT_COUNT}
  kill N   ends machine N at once, as if it lost its power
  start N  brings machine N back
  down     takes all away`;

/** What is only for this user: the registry's password, and which engine the machines are on. */
const folder = join(cache, "machines");
const passwordFile = join(folder, "registry-password");
const outerFile = join(folder, "engine");

/** What the arguments ask for. */
export type Order = { does: "list" | "down" } | { does: "up" | "kill" | "start"; number: number };

/** @throws UsageError for anything else */
export function readOrder(words: string[]): Order {
  const [does = "list", ...rest] = words;
  if (rest.length === 0) {
    if (does === "list" || does === "down") return { does };
    if (does === "up") return { does, number: DEFAULT_COUNT };
    if (/^-?\d+$/.test(does)) return { does: "up", number: readNumber(does) };
  }
  if (rest.length === 1 && (does === "kill" || does === "start")) {
    return { does, number: readNumber(rest[0]) };
  }
  throw new UsageError(USAGE);
}

function readNumber(text: string): number {
  const number = /^\d$/.test(text) ? Number(text) : NaN;
  if (number >= 1 && number <= MOST_MACHINES) return number;
  throw new UsageError(`got ${JSON.stringify(text)}, expected a number from 1 to ${MOST_MACHINES}`);
}

/**
 * The engine that the machines are on, which has to be on this host as their ports are. In a terminal
 * where DOCKER_HOST names a machine it is the one that was used to make them.
 *
 * @param recorded the address of that one, if there are machines
 * @throws if it is an engine elsewhere
 */
export function chooseOuter({ address, source }: Endpoint, recorded: string | undefined): string {
  if (/^(unix|npipe):/.test(address)) return address;
  if (recorded !== undefined) return recorded;
  throw new Error(
    `the Docker engine is ${address} (${source}), which may be on another host; the machines need ` +
      "one at a unix:// address: unset that",
  );
}

const say = (line: string) => console.log(line);
const sayBelow = (title: string, lines: string[]) =>
  say(["", title, "", ...lines.map((line) => `  ${line}`)].join("\n"));

async function up(count: number): Promise<void> {
  await setUp();
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(outerFile, process.env.DOCKER_HOST!);
  for (const step of listSteps(count)) await complete(step, say);
  await list();
  sayBelow("To work on the Swarm:", describeUse((await findMachine(1)).dockerHost, passwordFile));
  sayBelow("To try next:", describeNext(count));
}

/** What has to be there, in the order in which it is made. */
function listSteps(count: number): Step[] {
  const image = nameEngineImage();
  const numbers = Array.from({ length: count }, (_, i) => i + 1);
  return [
    describeStep("Machines' image", "build it, a Docker engine on Debian", {
      check: async () => ((await hasImage(connectDocker(), image)) ? image : undefined),
      run: buildEngineImage,
    }),
    describeStep("Network", `make ${NETWORK}`, {
      check: async () => (await findNetwork())?.subnet,
      run: makeNetwork,
    }),
    describeStep("Registry", "start it in a container", {
      check: async () => {
        const isThere = (await readRegistryState()) === "running" && existsSync(passwordFile);
        return isThere ? `${REGISTRY}, its password in ${passwordFile}` : undefined;
      },
      run: () => startRegistry(image, passwordFile),
    }),
    ...numbers.map((number) =>
      describeStep(nameMachine(number), "start a Docker engine in a container", {
        check: () => findEngine(number),
        run: () => startMachine(number, image),
      }),
    ),
    describeStep(
      `Base image on ${nameMachine(1)}`,
      "copy it, as the lab's images are built there",
      {
        check: async () => {
          const engine = connectMachine(await findMachine(1));
          return (await hasImage(engine, BASE_IMAGE)) ? BASE_IMAGE : undefined;
        },
        run: async () => copyImage(BASE_IMAGE, connectMachine(await findMachine(1))),
      },
    ),
    describeStep("Swarm", `let the machines join ${nameMachine(1)}`, {
      check: () => findSwarm(count),
      run: async () => formSwarm(await listFirst(count)),
    }),
  ];
}

function describeStep(
  name: string,
  does: string,
  { check, run }: { check: Step["check"]; run: () => Promise<unknown> },
): Step {
  return {
    name,
    check,
    ways: async () => [{ does, run: async () => void (await run()) }],
    help:
      "the message above says why; run the same command again, or take all away first with: " +
      "npm run machines -- down",
  };
}

/** The version and address of a machine's engine, if it runs. */
async function findEngine(number: number): Promise<string | undefined> {
  const machine = (await listMachines()).find((it) => it.number === number);
  if (machine?.state !== "running") return undefined;
  const version = await connectMachine(machine)
    .version()
    .catch(() => undefined);
  return version && `engine ${version.Version}, ${machine.dockerHost}`;
}

/** How many are Ready in the Swarm, if all of the first so many are. */
async function findSwarm(count: number): Promise<string | undefined> {
  const machines = await listFirst(count);
  const states = await Promise.all(machines.map((it) => readSwarmState(it, machines[0])));
  return states.every((state) => state === "ready") ? `${count} Ready` : undefined;
}

const listFirst = async (count: number) =>
  (await listMachines()).filter(({ number }) => number <= count);

/** @throws with what there is if it is not there */
async function findMachine(number: number): Promise<Machine> {
  const machines = await listMachines();
  const machine = machines.find((it) => it.number === number);
  if (machine !== undefined) return machine;
  const names = machines.map(({ name }) => name).join(", ") || "none";
  throw new Error(`there is no ${nameMachine(number)}; there is: ${names}`);
}

async function kill(number: number): Promise<void> {
  const { name, state } = await findMachine(number);
  if (state !== "running") {
    const way = `npm run machines -- start ${number}`;
    throw new Error(`${name} does not run, it is ${state}; start it with: ${way}`);
  }
  await connectDocker().getContainer(name).kill();
  const effect =
    number === 1
      ? "Without its manager the Swarm changes nothing; what runs on other machines goes on."
      : "The Swarm says so within half a minute: npm run machines";
  say(`Killed ${name}. ${effect}`);
}

async function start(number: number): Promise<void> {
  const started = Date.now();
  const { name } = await findMachine(number);
  await startMachine(number, nameEngineImage());
  const first = await findMachine(1);
  if (first.state !== "running") {
    const way = "npm run machines -- start 1";
    throw new Error(
      `${name} runs, but the Swarm's manager ${first.name} does not; start it with: ${way}`,
    );
  }
  await awaitReady(await findMachine(number), first);
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  say(`${name} is Ready in the Swarm, ${seconds} s after the command began.`);
}

async function list(): Promise<void> {
  const machines = await listMachines();
  const registry = await readRegistryState();
  if (machines.length === 0 && registry === undefined) {
    return say(`There are no machines; make some with: npm run machines -- ${DEFAULT_COUNT}`);
  }
  const [first] = machines;
  const swarm = first?.state === "running" ? await listSwarmStates(first).catch(() => ({})) : {};
  say(["", ...describeMachines({ machines, swarm, registry })].join("\n"));
}

async function down(): Promise<void> {
  const { removed, kept } = await removeMachines();
  rmSync(folder, { recursive: true, force: true });
  for (const what of removed) say(`Removed ${what}.`);
  for (const what of kept) say(`Kept ${what}: a container uses it.`);
  if (removed.length === 0) say("There are no machines.");
}

async function main(): Promise<void> {
  const { positionals } = parseCommand(USAGE, { allowPositionals: true });
  const order = readOrder(positionals);
  const recorded = existsSync(outerFile) ? readFileSync(outerFile, "utf8") : undefined;
  const named = process.env.DOCKER_HOST;
  const outer = (process.env.DOCKER_HOST = chooseOuter(chooseEndpoint(process.env), recorded));
  const orders = { up, kill, start };
  if ("number" in order) return orders[order.does](order.number);
  if (order.does === "list") return list();
  await down();
  if (named && named !== outer) say("In this terminal: unset DOCKER_HOST");
}

if (require.main === module) runCommand(main);
