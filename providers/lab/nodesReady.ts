import type { AwaitServingRequest } from "../../configurator/protocol/control";
import { connectEngine, isNotFound } from "../../docker/engine";
import type { Context, DiffKind, ResourceType } from "../pluginServer";
import { askUntilDone, nameById } from "./balancer";

/** Inputs and state alike. */
export interface NodesReadyProperties {
  /** Name of the balancer's container: not its id, since its replacement comes after the nodes'. */
  balancer: string;
  /** Container id of each node. */
  containers: Record<string, string>;
  /**
   * What HaproxyConfig pushes later. A change of it shows there, and is none here: the underscores are
   * Pulumi's mark for what is kept but not displayed.
   */
  __proxy: AwaitServingRequest["proxy"];
}

/** Waits for replaced nodes; see components/nodesReady.ts. */
export const nodesReady: ResourceType<NodesReadyProperties, NodesReadyProperties> = {
  async check(news) {
    return { inputs: news, failures: [] };
  },

  /** Against the last inputs: nodes that come or go are recorded without an operation. */
  async diff(_id, _state, olds, news) {
    const detailed: Record<string, DiffKind> = Object.fromEntries(
      listReplaced(olds, news).map((name) => [`containers.${name}`, "update"]),
    );
    return { changes: Object.keys(detailed).length > 0, detailed };
  },

  async create(inputs, { name }) {
    return { id: name, state: inputs };
  },

  async read(id, state, inputs) {
    if (state === undefined) throw new Error("readiness cannot be imported: declare it");
    return { id, inputs: inputs ?? state, state };
  },

  async update(_id, _state, olds, news, context) {
    if (!context.preview) await awaitServing(news, listReplaced(olds, news), context);
    return news;
  },

  async delete() {},
};

function listReplaced(olds: NodesReadyProperties, news: NodesReadyProperties): string[] {
  return Object.keys(news.containers).filter((name) => {
    const before = olds.containers[name];
    return before !== undefined && before !== news.containers[name];
  });
}

/**
 * Waits until the balancer uses the nodes. One that is down has nothing to lose.
 *
 * @throws Error naming the nodes that do not serve at the deadline, with their last checks
 */
async function awaitServing(
  { balancer, containers, __proxy: proxy }: NodesReadyProperties,
  names: string[],
  context: Context,
): Promise<void> {
  const awaited = Object.fromEntries(names.map((name) => [name, containers[name]]));
  await askUntilDone(context, nameById(awaited), async (deadlineMs, ask) =>
    (await isRunning(balancer))
      ? ask(balancer, { do: "awaitServing", names, proxy, deadlineMs })
      : undefined,
  );
}

async function isRunning(balancer: string): Promise<boolean> {
  try {
    return (await connectEngine().getContainer(balancer).inspect()).State.Running;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}
