import * as pulumi from "@pulumi/pulumi";
import type { AwaitServingRequest } from "../configurator/protocol/control";

export interface NodesReadyArgs {
  /** Name of the balancer's container. */
  balancer: string;
  /** Container id of each node, by name. */
  containers: Record<string, pulumi.Input<string>>;
  /** Template and settings to come, which the nodes may need to serve. */
  proxy: AwaitServingRequest["proxy"];
  /** Longest wait until the nodes serve, s. */
  readyTimeout: number;
}

/**
 * A gate that opens when the balancer uses these nodes again: an update waits for the nodes whose
 * container is another one. New nodes are not waited for; what they are for comes later.
 */
export class NodesReady extends pulumi.CustomResource {
  constructor(name: string, args: NodesReadyArgs, opts?: pulumi.CustomResourceOptions) {
    const { readyTimeout, proxy, ...inputs } = args;
    const customTimeouts = { update: `${readyTimeout}s` };
    super("lab:index:NodesReady", name, { ...inputs, __proxy: proxy }, { customTimeouts, ...opts });
  }
}
