/**
 * `npm run node -- add s9… | remove s9… | list [--stack NAME]`: web nodes beside those that are
 * declared, as the course's lab adds them with `docker run`. Pulumi does not know them.
 */
import { basename, dirname } from "node:path";
import { KEY_FILE } from "../config/member";
import { addressOn } from "../docker/address";
import { archiveOf } from "../docker/archive";
import { connectDocker, isNotFound } from "../docker/connect";
import { runInContainer } from "../docker/exec";
import { removeContainer } from "../docker/remove";
import type { Lab, LabContainer } from "../state/inventory";
import { poll } from "../time/poll";
import {
  compareLab,
  findLab,
  readCluster,
  readClusters,
  requireBalancers,
  withDeclared,
} from "./lab";
import {
  chooseRemoval,
  describeContainer,
  decideAddition,
  serves,
  type Addition,
} from "./handMade";
import { parseCommand, runCommand, UsageError } from "./command";
import { chooseStack } from "./stack";
import { formatTable } from "./table";

const USAGE = `usage: npm run node -- add NAME… | remove NAME… | list [--stack NAME]

Web nodes beside those that are declared. add ends when the balancer sends the node requests, remove when its
last requests are answered.

  --stack NAME  the lab's stack; the selected one without it`;

/** The balancer's first check of a node comes within a second; starting it may take longer. */
const SERVING_WITHIN_MS = 60_000;

/** Makes a node's container and waits until each balancer sends it requests. */
async function add(name: string, stack: string): Promise<void> {
  const started = Date.now();
  const lab = await findLab(stack);
  const balancers = requireBalancers(lab);
  const addition = await start(name, lab, balancers[0]);
  console.log(`Started container ${addition.containerName} at ${addition.address}.`);
  await awaitRequests(addition, stack, balancers);
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  console.log(
    `${name} is in the balancer's rotation and UP, ${seconds} s after the command began.`,
  );
}

/** Starts the container, at another address if somebody else has just been given the first. */
async function start(name: string, lab: Lab, balancer: LabContainer): Promise<Addition> {
  const cluster = withDeclared({ own: await readCluster(balancer) }, lab).own;
  for (const taken = [...lab.taken]; ;) {
    const addition = decideAddition(name, { ...lab, taken }, cluster);
    const container = await connectDocker()
      .createContainer(describeContainer(addition, lab))
      .catch((error: Error) => {
        if (!isNotFound(error)) throw error;
        const way = `npx pulumi up --stack ${lab.stack}`;
        throw new Error(`${error.message}; make the lab's images again with: ${way}`);
      });
    try {
      // Root's, and nobody else's to read. It passes nowhere else on its way.
      const key = archiveOf(basename(KEY_FILE.path), await readKey(balancer), 0o600);
      await container.putArchive(key, { path: dirname(KEY_FILE.path) });
      await container.start();
      const { NetworkSettings } = await container.inspect();
      return { ...addition, address: addressOn(NetworkSettings.Networks[lab.network.name]) };
    } catch (error) {
      await removeContainer(container);
      if (!/address already in use/i.test((error as Error).message)) throw error;
      taken.push(addition.address);
    }
  }
}

/** The key that encrypts gossip. A Swarm's secret is a mount, which the engine's archives don't have. */
async function readKey(balancer: LabContainer): Promise<string> {
  const container = connectDocker().getContainer(balancer.id);
  const { stdout, stderr } = await runInContainer(container, ["cat", KEY_FILE.path], {
    user: "root",
  });
  if (stdout === "") throw new Error(`${KEY_FILE.path} in ${balancer.containerName}: ${stderr}`);
  return stdout;
}

/** @throws Error with what each part of the balancer says of the node, if it does not come up */
async function awaitRequests(
  addition: Addition,
  stack: string,
  balancers: LabContainer[],
): Promise<void> {
  const look = async () =>
    Object.values(await readClusters(balancers)).every((cluster) => serves(cluster, addition));
  // A balancer may be restarting: what counts is whether it serves at last.
  const last = await poll(
    () => look().catch((error: Error) => error),
    (seen) => seen === true,
    { everyMs: 100, withinMs: SERVING_WITHIN_MS },
  );
  if (last === true) return;
  const { name, containerName } = addition;
  const seen = last ? last.message : await describeNode(name, stack);
  throw new Error(
    `${name} does not serve after ${SERVING_WITHIN_MS / 1000} s: ${seen}. ` +
      `Its container stays: docker logs ${containerName} may say why, ` +
      `npm run node -- remove ${name} --stack ${stack} takes it away`,
  );
}

async function describeNode(name: string, stack: string): Promise<string> {
  const { disagreements } = await compareLab(await findLab(stack));
  return (
    disagreements.filter((line) => line.startsWith(`${name}:`)).join(" ") || "it was just late"
  );
}

/** Stops a node, which leaves and ends its requests, and removes its container. */
async function remove(name: string, stack: string): Promise<void> {
  const { id, containerName } = chooseRemoval(name, await findLab(stack));
  const container = connectDocker().getContainer(id);
  // The container's own stop timeout holds; one that is stopped already answers 304.
  await container.stop().catch((error: { statusCode?: number }) => {
    if (error.statusCode !== 304) throw error;
  });
  await removeContainer(container);
  console.log(`Removed ${name} with its container ${containerName}.`);
}

async function list(stack: string): Promise<void> {
  const { containers } = await findLab(stack);
  const byHand = containers.filter(({ origin }) => origin === "hand");
  const rows = byHand.map(({ name, address, state, containerName }) => [
    name,
    address,
    state,
    containerName,
  ]);
  if (rows.length === 0) console.log(`No node of stack ${stack} was added by hand.`);
  else console.log(formatTable(["node", "address", "state", "container"], rows).join("\n"));
}

async function main(): Promise<void> {
  const options = { stack: { type: "string" } } as const;
  const { values, positionals } = parseCommand(USAGE, { options, allowPositionals: true });
  const [command, ...names] = positionals;
  const isWhole = command === "list" ? names.length === 0 : names.length > 0;
  if (!["add", "remove", "list"].includes(command) || !isWhole) throw new UsageError(USAGE);
  const stack = chooseStack(values.stack);
  if (command === "list") return list(stack);
  for (const name of names) await (command === "add" ? add : remove)(name, stack);
}

runCommand(main);
