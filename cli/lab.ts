/** The running lab that an operator command works on, and what its balancer says. */
import { APP_PORT } from "../config/ports";
import { askConfigurator } from "../configurator/client";
import type { BalancerView, ClusterView } from "../configurator/protocol/control";
import { describeStopped } from "../docker/containerState";
import { lookForLab, type Lab, type LabContainer } from "../state/inventory";
import { compareViews, judgeBalancers, type Comparison } from "./compareViews";

const ANSWER_WITHIN_MS = 10_000;

/** @throws if the stack has no lab on this engine */
export async function findLab(stack: string): Promise<Lab> {
  const lab = await lookForLab(stack);
  if (lab !== undefined) return lab;
  throw new Error(
    `the lab of stack ${stack} does not run; start it with: npx pulumi up --stack ${stack}`,
  );
}

/** One balancer, or two, running or not. */
export const listBalancers = ({ containers }: Lab) =>
  containers.filter(({ role }) => role === "balancer");

/**
 * The balancers that run, one or two; on a Swarm the one on the engine that is asked.
 *
 * @throws if none does, saying what to do
 */
export function requireBalancers(lab: Lab): LabContainer[] {
  const { stack } = lab;
  const balancers = listBalancers(lab);
  const running = balancers.filter(({ state, isElsewhere }) => state === "running" && !isElsewhere);
  if (running.length > 0) return running;
  if (balancers.length === 0) {
    const way = `npx pulumi up --refresh --stack ${stack}`;
    throw new Error(`the balancer of stack ${stack} is gone; make it again with: ${way}`);
  }
  const [{ containerName, state }] = balancers;
  throw new Error(`the balancer of stack ${stack} ${describeStopped(containerName, state, stack)}`);
}

/**
 * Each node as every part of the lab sees it, and where they disagree.
 *
 * @throws if no balancer runs, or a configurator does not answer
 */
export async function compareLab(lab: Lab): Promise<Comparison> {
  const balancers = requireBalancers(lab);
  const [first] = balancers;
  if (first.engine === undefined)
    return compareViews(await readClusters(balancers), lab.containers);
  const { cluster, views } = await readSwarm(first);
  const clusters = withDeclared({ [first.name]: cluster }, lab);
  const compared = compareViews(clusters, lab.containers);
  const disagreements = [...compared.disagreements, ...judgeBalancers(lab.containers, views)];
  return { ...compared, disagreements };
}

/**
 * The nodes as each part of the balancer sees them.
 *
 * @throws if the configurator does not answer
 */
export async function readCluster(balancer: LabContainer): Promise<ClusterView> {
  const { cluster } = await askBalancer(balancer, "cluster");
  return cluster;
}

/** The same of a balancer of a Swarm, and what all of them say, as far as they answer it. */
async function readSwarm(
  balancer: LabContainer,
): Promise<{ cluster: ClusterView; views: BalancerView[] }> {
  const { cluster, balancers = [] } = await askBalancer(balancer, "balancers");
  return { cluster, views: balancers };
}

async function askBalancer(balancer: LabContainer, question: "cluster" | "balancers") {
  const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
  const outcome = await askConfigurator(balancer.id, { do: question }, { signal }).catch(
    (error: Error) => {
      if (!signal.aborted) throw error;
      return { unavailable: `nothing within ${ANSWER_WITHIN_MS / 1000} s` };
    },
  );
  if ("done" in outcome && outcome.cluster) return { ...outcome, cluster: outcome.cluster };
  const reason =
    "unavailable" in outcome
      ? outcome.unavailable
      : "refused" in outcome
        ? outcome.refused
        : "an answer without nodes";
  throw new Error(`the configurator in ${balancer.containerName} does not answer: ${reason}`);
}

/**
 * The same of each of several balancers, by its name.
 *
 * @throws if a configurator does not answer
 */
export async function readClusters(
  balancers: readonly LabContainer[],
): Promise<Record<string, ClusterView>> {
  const clusters = balancers.map(async (it) => [it.name, await readCluster(it)] as const);
  return Object.fromEntries(await Promise.all(clusters));
}

/**
 * The clusters with what is declared. On a Swarm the balancers know nodes by gossip alone: declared is
 * which has a service, wherever its task is.
 */
export function withDeclared(
  clusters: Record<string, ClusterView>,
  { containers }: Lab,
): Record<string, ClusterView> {
  if (containers.every(({ engine }) => engine === undefined)) return clusters;
  const declared = containers
    .filter(({ role, origin }) => role === "backend" && origin === "pulumi")
    .map(({ name, address }) => ({ name, address, port: APP_PORT }));
  return Object.fromEntries(
    Object.entries(clusters).map(([name, cluster]) => {
      const places = new Map(cluster.nodes.map((node) => [node.name, node.address]));
      // There it stands by its name.
      const file = cluster.file.map((line) => ({
        ...line,
        address: places.get(line.name) ?? line.address,
      }));
      return [name, { ...cluster, declared, file }];
    }),
  );
}
