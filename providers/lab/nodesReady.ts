import type { ProxyToCome } from "../../configurator/protocol/control";
import { ROLE_LABEL } from "../../config/topology";
import { connectDocker, isNotFound } from "../../docker/connect";
import type { Context } from "../pluginServer";
import { askUntilDone, nameById } from "./balancer";
import { createGate } from "./gate";

/** Inputs and state alike. */
export interface NodesReadyProperties {
  /**
   * Names of the containers that may be balancers: not ids, since their replacement comes after the
   * nodes', and not only the declared ones, since others may still be there.
   */
  balancers: string[];
  /** Container id of each node. */
  containers: Record<string, string>;
  /**
   * What HaproxyConfig pushes later to each. A change of it shows there, and is none here: the underscores are
   * Pulumi's mark for what is kept but not displayed.
   */
  __proxies: Record<string, ProxyToCome>;
}

/** Waits for replaced nodes; see components/nodesReady.ts. */
export const nodesReady = createGate<"containers", NodesReadyProperties>(
  "containers",
  awaitServing,
);

/**
 * Waits until every balancer that runs uses the nodes. One that is down has nothing to lose.
 *
 * @throws Error naming the nodes that do not serve at the deadline, with their last checks
 */
async function awaitServing(
  { balancers, containers, __proxies: proxies }: NodesReadyProperties,
  names: string[],
  context: Context,
): Promise<void> {
  const awaited = Object.fromEntries(names.map((name) => [name, containers[name]]));
  const each = balancers.map((balancer) =>
    askUntilDone(context, nameById(awaited), async (deadlineMs, ask) =>
      (await isRunning(balancer))
        ? ask(balancer, { do: "awaitServing", names, proxy: proxies[balancer], deadlineMs })
        : undefined,
    ),
  );
  await Promise.all(each);
}

/** Whether there is a balancer of this name that runs. The front of two is none. */
async function isRunning(balancer: string): Promise<boolean> {
  try {
    const { State, Config } = await connectDocker().getContainer(balancer).inspect();
    return State.Running && Config.Labels[ROLE_LABEL] === "balancer";
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}
