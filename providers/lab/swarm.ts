/** When a lab on a Swarm serves, and how the lab's resources wait for it. */
import { describeCheck, isServing, type BalancerView } from "../../configurator/protocol/control";
import { renderHaproxyConfig, type ProxySettings } from "../../haproxy/render";
import { compareBalancers } from "../../configurator/views";
import { connectDocker } from "../../docker/connect";
import { readServices, type ServiceTasks, type Task } from "../../docker/tasks";
import type { Outcome } from "../../configurator/client";
import { poll } from "../../time/poll";
import type { Context } from "../pluginServer";
import { ask, DEFAULT_TIMEOUT_SECONDS } from "./balancer";

const LOOK_EVERY_MS = 500;

/** What is waited for. */
export interface Expected {
  /** Name of the balancers' service. */
  balancer: string;
  /** By node name: the id of its service, and after a space whatever else tells two runs apart. */
  runs: Record<string, string>;
  /** Template and settings of haproxy.cfg; absent where only these nodes are waited for. */
  proxy?: { template: string; settings: ProxySettings };
}

/** What the Swarm and its balancers say at one moment. */
export interface Seen {
  balancers: ServiceTasks;
  nodes: Map<string, ServiceTasks | undefined>;
  /** Word of the balancer on this engine; undefined where none answers. */
  answer?: Extract<Outcome, { done: true }>;
}

const serviceOf = (run: string) => run.split(" ")[0];

/**
 * Waits until every balancer on every engine runs on the text and serves from these nodes.
 *
 * @throws Error at the deadline with a line for each balancer and node that does not, with its engine
 *   and its task's last error
 */
export async function awaitServing(expected: Expected, context: Context): Promise<void> {
  const seconds = context.timeoutSeconds || DEFAULT_TIMEOUT_SECONDS;
  let said = "";
  let looksInARow = 0;
  const look = async (): Promise<string[]> => {
    const waiting = listWaiting(expected, await see(expected, context));
    const line = waiting.join(", ");
    if (line && line !== said) context.log("info", `waiting for ${(said = line)}`, true);
    looksInARow = waiting.length === 0 ? looksInARow + 1 : 0;
    return waiting;
  };
  // What one look sees may be a check of a task that has just ended.
  const waiting = await poll(look, () => looksInARow >= 2, {
    everyMs: LOOK_EVERY_MS,
    withinMs: seconds * 1000,
    signal: context.signal,
  });
  if (looksInARow < 2) {
    throw new Error(`not serving after ${seconds} s: ${waiting.join("; ") || "no second look"}`);
  }
}

async function see(expected: Expected, context: Context): Promise<Seen | undefined> {
  const ids = Object.values(expected.runs).map(serviceOf);
  const services = await readServices(connectDocker(), [expected.balancer, ...ids]);
  const balancers = services.find(({ name }) => name === expected.balancer);
  if (balancers === undefined) return undefined;
  const byId = new Map(services.map((service) => [service.id, service]));
  const nodes = new Map(
    Object.entries(expected.runs).map(([name, run]) => [name, byId.get(serviceOf(run))]),
  );
  const here = runningTasks(balancers).find(({ isHere }) => isHere);
  if (here === undefined) return { balancers, nodes };
  const outcome = await ask(here.container, { do: "balancers" }, context).catch(() => undefined);
  return { balancers, nodes, answer: outcome && "done" in outcome ? outcome : undefined };
}

const runningTasks = ({ tasks }: ServiceTasks) =>
  tasks.filter(({ isWanted, state }) => isWanted && state === "running");

/**
 * What is still waited for, a line each; nothing when all is well.
 *
 * @param seen undefined when there are no balancers yet, who could lose anything
 */
export function listWaiting(expected: Expected, seen: Seen | undefined): string[] {
  if (seen === undefined) return [];
  const { balancers, nodes, answer } = seen;
  const lines = [...nodes].flatMap(([name, service]) =>
    service ? describeTasks(name, service) : [`${name} has no service`],
  );
  if (expected.proxy) lines.push(...describeTasks("the balancer", balancers));
  if (answer?.cluster === undefined) return [...lines, "the balancer on this engine"];
  const { cluster, status, balancers: views = [] } = answer;
  const path = expected.proxy?.settings.healthPath ?? "its health";
  const servers = new Map(cluster.servers?.map((server) => [server.name, server]));
  for (const [name, service] of nodes) {
    const task = service && runningTasks(service).find(({ isCurrent }) => isCurrent);
    if (task === undefined) continue;
    const server = servers.get(name);
    const isThere = server && Object.values(task.addresses).includes(server.address);
    if (server === undefined) lines.push(`${name} (out of rotation)`);
    else if (!isThere) lines.push(`${name} (still at ${server.address})`);
    else if (!isServing(server)) {
      lines.push(`${name} (${server.status}, ${describeCheck(server, path)})`);
    }
  }
  if (expected.proxy) {
    const { template, settings } = expected.proxy;
    // Of the nodes that are in: those that are removed leave later, by themselves, when their services
    // are removed, which Pulumi does last.
    const text = renderHaproxyConfig(template, settings, cluster.file);
    if (status?.live !== text) lines.push("haproxy.cfg is not as declared on this engine");
  }
  if (lines.length > 0) return lines;
  return describeOthers(runningTasks(balancers), views);
}

/** Which tasks are missing, and why. */
function describeTasks(name: string, service: ServiceTasks): string[] {
  const { isGlobal, tasks, update, takenBack } = service;
  const wanted = tasks.filter(({ isWanted }) => isWanted);
  const waiting = wanted.filter(({ state, isCurrent }) => state !== "running" || !isCurrent);
  const why = takenBack ? `, as ${describeTask("the new one", takenBack)}` : "";
  const words = update.startsWith("rollback") ? [`${name} was rolled back${why}`] : [];
  if (wanted.length === 0) return [...words, describeTask(name, tasks[0])];
  return [
    ...words,
    ...waiting.map((task) => describeTask(name, findError(task, tasks, isGlobal) ?? task)),
  ];
}

/**
 * The task that failed before this one, if the new one says nothing itself: made as this one, and of a
 * service that has one on each engine on the same.
 */
const findError = (task: Task, tasks: Task[], isGlobal: boolean) =>
  task.error
    ? task
    : tasks.find(
        ({ isWanted, isCurrent, error, engine }) =>
          !isWanted && isCurrent && error !== "" && (!isGlobal || engine === task.engine),
      );

function describeTask(name: string, task: Task | undefined): string {
  if (task === undefined) return `${name} has no task`;
  const { engine, state, error } = task;
  const where = engine ? ` on ${engine}` : "";
  return `${name}${where} is ${state}${error ? `: ${error}` : ""}`;
}

/** Which balancers do not serve as the one on this engine does. */
function describeOthers(tasks: Task[], views: BalancerView[]): string[] {
  const nameOf = ({ engine }: Task) => `ha-${engine}`;
  const here = tasks.find(({ isHere }) => isHere);
  return compareBalancers(tasks.map(nameOf), here && nameOf(here), views).map(
    ({ name, waiting }) =>
      waiting === undefined
        ? `the balancer ${name} does not answer`
        : `the balancer ${name} (${waiting || "not as here yet"})`,
  );
}
