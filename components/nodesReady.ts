import * as pulumi from "@pulumi/pulumi";
import type { ProxyToCome } from "../configurator/protocol/control";

export interface NodesReadyArgs {
  /** Names of the containers that may be balancers. Those that run are asked. */
  balancers: string[];
  /** Container id of each node, by name. */
  containers: Record<string, pulumi.Input<string>>;
  /** By balancer, template and settings to come, which the nodes may need to serve. */
  proxies: Record<string, ProxyToCome>;
  /** Longest wait until the nodes serve, s. */
  readyTimeout: number;
}

/**
 * A gate that opens when the balancers use these nodes again: an update waits for the nodes whose
 * container is another one. New nodes are not waited for; what they are for comes later.
 */
export class NodesReady extends pulumi.CustomResource {
  constructor(name: string, args: NodesReadyArgs, opts?: pulumi.CustomResourceOptions) {
    const { readyTimeout, proxies, ...inputs } = args;
    const customTimeouts = { update: `${readyTimeout}s` };
    super(
      "lab:index:NodesReady",
      name,
      { ...inputs, __proxies: proxies },
      { customTimeouts, ...opts },
    );
  }
}
