/**
 * `npm run node -- add s9… | remove s9… | list [--stack NAME]`: web nodes beside those that are
 * declared, as the course's lab adds them with `docker run`. Pulumi does not know them.
 */
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { KEY_FILE } from "../config/member";
import { connectEngine, isNotFound } from "../docker/engine";
import { removeContainer } from "../docker/remove";
import type { Lab, LabContainer } from "../state/inventory";
import { findLab, readCluster, requireBalancer } from "./lab";
import { chooseRemoval, describeContainer, planAddition, serves, type Addition } from "./nodePlan";
import { parseCommand, runCommand, UsageError } from "./command";
import { chooseStack } from "./stack";
import { compareViews } from "./statusPlan";
import { formatTable } from "./table";

const USAGE = `usage: npm run node -- add NAME… | remove NAME… | list [--stack NAME]

Web nodes beside those that are declared. add ends when the balancer sends the node requests, remove when its
last requests are answered.

  --stack NAME  the lab's stack; the selected one without it`;

/** The balancer's first check of a node comes within a second; starting it may take longer. */
const SERVING_WITHIN_MS = 60_000;
const POLL_MS = 100;

/** Makes a node's container and waits until the balancer sends it requests. */
async function add(name: string, stack: string): Promise<void> {
  const started = Date.now();
  const lab = await findLab(stack);
  const balancer = requireBalancer(lab);
  const addition = await start(name, lab, balancer);
  console.log(`Started container ${addition.containerName} at ${addition.address}.`);
  await waitUntilServing(addition, stack, balancer);
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  console.log(
    `${name} is in the balancer's rotation and UP, ${seconds} s after the command began.`,
  );
}

/** Starts the container, at another address if somebody else has just been given the first. */
async function start(name: string, lab: Lab, balancer: LabContainer): Promise<Addition> {
  const cluster = await readCluster(balancer);
  for (const taken = [...lab.taken]; ;) {
    const addition = planAddition(name, { ...lab, taken }, cluster);
    const container = await connectEngine()
      .createContainer(describeContainer(addition, lab))
      .catch((error: Error) => {
        if (!isNotFound(error)) throw error;
        const way = `npx pulumi up --stack ${lab.stack}`;
        throw new Error(`${error.message}; make the lab's images again with: ${way}`);
      });
    try {
      // As it is there: root's, and nobody else's to read. It passes nowhere else on its way.
      const key = await connectEngine()
        .getContainer(balancer.id)
        .getArchive({ path: KEY_FILE.path });
      await container.putArchive(key, { path: dirname(KEY_FILE.path) });
      await container.start();
      return addition;
    } catch (error) {
      await removeContainer(container);
      if (!/address already in use/i.test((error as Error).message)) throw error;
      taken.push(addition.address);
    }
  }
}

/** @throws Error with what each part of the balancer says of the node, if it does not come up */
async function waitUntilServing(
  addition: Addition,
  stack: string,
  balancer: LabContainer,
): Promise<void> {
  const deadline = Date.now() + SERVING_WITHIN_MS;
  let problem: Error | undefined;
  while (Date.now() < deadline) {
    try {
      const cluster = await readCluster(balancer);
      if (serves(cluster, addition)) return;
      problem = undefined;
    } catch (error) {
      // The balancer may be restarting: what counts is whether it serves at last.
      problem = error as Error;
    }
    await delay(POLL_MS);
  }
  const { name, containerName } = addition;
  const seen = problem?.message ?? (await describeNode(name, stack, balancer));
  throw new Error(
    `${name} does not serve after ${SERVING_WITHIN_MS / 1000} s: ${seen}. ` +
      `Its container stays: docker logs ${containerName} may say why, ` +
      `npm run node -- remove ${name} --stack ${stack} takes it away`,
  );
}

async function describeNode(name: string, stack: string, balancer: LabContainer): Promise<string> {
  const { containers } = await findLab(stack);
  const { disagreements } = compareViews(await readCluster(balancer), containers);
  return (
    disagreements.filter((line) => line.startsWith(`${name}:`)).join(" ") || "it was just late"
  );
}

/** Stops a node, which leaves and ends its requests, and removes its container. */
async function remove(name: string, stack: string): Promise<void> {
  const { id, containerName } = chooseRemoval(name, await findLab(stack));
  const container = connectEngine().getContainer(id);
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
