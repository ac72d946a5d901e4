/** The running lab that an operator command works on, and what its balancer says. */
import { askConfigurator } from "../configurator/client";
import type { ClusterView } from "../configurator/protocol/control";
import { describeStopped } from "../docker/containerState";
import { lookForLab, type Lab, type LabContainer } from "../state/inventory";

const ANSWER_WITHIN_MS = 10_000;

/** @throws if the stack has no lab on this engine */
export async function findLab(stack: string): Promise<Lab> {
  const lab = await lookForLab(stack);
  if (lab !== undefined) return lab;
  throw new Error(
    `the lab of stack ${stack} does not run; start it with: npx pulumi up --stack ${stack}`,
  );
}

/** @throws if the lab's balancer does not run, saying what to do */
export function requireBalancer({ stack, containers }: Lab): LabContainer {
  const balancer = containers.find(({ role }) => role === "balancer");
  if (balancer?.state === "running") return balancer;
  if (balancer === undefined) {
    const way = `npx pulumi up --refresh --stack ${stack}`;
    throw new Error(`the balancer of stack ${stack} is gone; make it again with: ${way}`);
  }
  const { containerName, state } = balancer;
  throw new Error(`the balancer of stack ${stack} ${describeStopped(containerName, state, stack)}`);
}

/**
 * The nodes as each part of the balancer sees them.
 *
 * @throws if the configurator does not answer
 */
export async function readCluster(balancer: LabContainer): Promise<ClusterView> {
  const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
  const outcome = await askConfigurator(balancer.id, { do: "cluster" }, { signal }).catch(
    (error: Error) => {
      if (!signal.aborted) throw error;
      return { unavailable: `nothing within ${ANSWER_WITHIN_MS / 1000} s` };
    },
  );
  if ("done" in outcome && outcome.cluster) return outcome.cluster;
  const reason =
    "unavailable" in outcome
      ? outcome.unavailable
      : "refused" in outcome
        ? outcome.refused
        : "an answer without nodes";
  throw new Error(`the configurator in ${balancer.containerName} does not answer: ${reason}`);
}
