import { renderHaproxyConfig, type ProxySettings } from "../../haproxy/render";
import { connectDocker } from "../../docker/connect";
import { readServices } from "../../docker/tasks";
import type { ResourceType } from "../pluginServer";
import { ask } from "./balancer";
import { createGate, diffRuns } from "./gate";
import { awaitServing } from "./swarm";

/** Inputs and state alike; see components/swarm/serving.ts. */
export interface SwarmNodesReadyProperties {
  balancer: string;
  runs: Record<string, string>;
}

/** Waits for replaced nodes of a Swarm. */
export const swarmNodesReady = createGate<"runs", SwarmNodesReadyProperties>(
  "runs",
  ({ balancer, runs }, names, context) =>
    awaitServing(
      { balancer, runs: Object.fromEntries(names.map((name) => [name, runs[name]])) },
      context,
    ),
);

/** Inputs and state alike; see components/swarm/serving.ts. */
export interface SwarmHaproxyConfigProperties extends SwarmNodesReadyProperties {
  balancerRun: string;
  /** The rendered haproxy.cfg of the declared nodes: the thing to read in a diff. */
  text: string;
  /** What the balancers render it with. All that shows of it is in `text`. */
  __proxy: { template: string; settings: ProxySettings };
}

/** haproxy.cfg in the balancers of a Swarm. */
export const swarmHaproxyConfig: ResourceType<
  SwarmHaproxyConfigProperties,
  SwarmHaproxyConfigProperties
> = {
  async check(news) {
    return { inputs: news, failures: [] };
  },

  async diff(_id, state, _olds, news) {
    const detailed = diffRuns("runs", state.runs, news.runs);
    if (news.text !== state.text) detailed.text = "update";
    if (news.balancerRun !== state.balancerRun) detailed.balancerRun = "update";
    const told = JSON.stringify(news.__proxy) !== JSON.stringify(state.__proxy);
    return { changes: told || Object.keys(detailed).length > 0, detailed };
  },

  async create(inputs, context) {
    if (!context.preview) await awaitServing({ ...inputs, proxy: inputs.__proxy }, context);
    return { id: context.name, state: inputs };
  },

  async update(_id, _state, _olds, news, context) {
    if (!context.preview) await awaitServing({ ...news, proxy: news.__proxy }, context);
    return news;
  },

  /** The text of the declared nodes that are in, or what stands there if somebody edited it. */
  async read(id, state, _inputs, context) {
    if (state === undefined) throw new Error("a haproxy.cfg cannot be imported: declare it");
    const [service] = await readServices(connectDocker(), [state.balancer]);
    if (service === undefined) return undefined;
    const here = service.tasks.find((task) => task.isHere && task.isWanted && task.container);
    if (here === undefined) return { id, inputs: state, state };
    const outcome = await ask(here.container, { do: "balancers" }, context);
    if ("refused" in outcome) throw new Error(outcome.refused);
    if (!("done" in outcome) || !outcome.cluster || !outcome.status) {
      return { id, inputs: state, state };
    }
    const { cluster, status } = outcome;
    const { template, settings } = state.__proxy;
    const isAsMade = renderHaproxyConfig(template, settings, cluster.file) === status.live;
    const present = cluster.file.filter(({ name }) => name in state.runs);
    const text = isAsMade ? renderHaproxyConfig(template, settings, present) : (status.live ?? "");
    return { id, inputs: { ...state, text }, state: { ...state, text } };
  },

  /** The file goes with its service. */
  async delete() {},
};
