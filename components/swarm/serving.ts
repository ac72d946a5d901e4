import * as pulumi from "@pulumi/pulumi";
import type { Declaration } from "../../configurator/protocol/declaration";
import { renderHaproxyConfig, type ProxyNode } from "../../haproxy/render";

export interface SwarmNodesReadyArgs {
  /** Name of the balancers' service. */
  balancer: string;
  /** What each node runs as, by its name. */
  runs: Record<string, pulumi.Input<string>>;
  /** Longest wait until the nodes serve, s. */
  readyTimeout: number;
}

/** As components/nodesReady.ts: a gate that opens when every balancer uses these nodes again. */
export class SwarmNodesReady extends pulumi.CustomResource {
  constructor(name: string, args: SwarmNodesReadyArgs, opts?: pulumi.CustomResourceOptions) {
    const { readyTimeout, ...inputs } = args;
    const customTimeouts = { update: `${readyTimeout}s` };
    super("lab:index:SwarmNodesReady", name, inputs, { customTimeouts, ...opts });
  }
}

export interface SwarmHaproxyConfigArgs {
  /** Name of the balancers' service. */
  balancer: string;
  /** What the balancers run as: another value is waited for. */
  balancerRun: pulumi.Input<string>;
  /** What each node runs as, by its name. */
  runs: Record<string, pulumi.Input<string>>;
  /** What the balancers were given; it has no nodes, which they know by gossip. */
  declaration: Declaration;
  /** The declared nodes, by their host names. */
  servers: ProxyNode[];
  /** Longest wait until every balancer serves from every node, s. */
  readyTimeout: number;
}

/**
 * haproxy.cfg in the balancers of a Swarm, as they make it of their declaration and of gossip. Its diff
 * is the diff of the file. A change is waited for: until each balancer on each engine runs on the text
 * and has passed a health check of every declared node.
 */
export class SwarmHaproxyConfig extends pulumi.CustomResource {
  /** The rendered file. */
  declare readonly text: pulumi.Output<string>;

  constructor(name: string, args: SwarmHaproxyConfigArgs, opts?: pulumi.CustomResourceOptions) {
    const { declaration, servers, readyTimeout, ...inputs } = args;
    const { template, settings } = declaration;
    const text = renderHaproxyConfig(template, settings, servers);
    const timeout = `${readyTimeout}s`;
    super(
      "lab:index:SwarmHaproxyConfig",
      name,
      { ...inputs, text, __proxy: { template, settings } },
      { customTimeouts: { create: timeout, update: timeout }, ...opts },
    );
  }
}
