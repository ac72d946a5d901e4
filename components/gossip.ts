import * as pulumi from "@pulumi/pulumi";
import { HAND_LABEL } from "../config/member";

/** The key that encrypts gossip, made once by providers/lab when the lab is first deployed. */
export class GossipKey extends pulumi.CustomResource {
  /** 32 bytes in base64; secret. */
  declare readonly key: pulumi.Output<string>;

  constructor(name: string, opts?: pulumi.CustomResourceOptions) {
    super("lab:index:GossipKey", name, { key: undefined }, opts);
  }
}

export interface HandMadeNodesArgs {
  /** Id of the lab's network. */
  network: pulumi.Input<string>;
}

/**
 * The nodes that people add with `npm run node`. They are theirs: nothing here makes or changes
 * them, but they go with the network that they are on, which could not be removed otherwise.
 */
export class HandMadeNodes extends pulumi.CustomResource {
  constructor(name: string, args: HandMadeNodesArgs, opts?: pulumi.CustomResourceOptions) {
    super("lab:index:HandMadeNodes", name, { ...args, label: HAND_LABEL }, opts);
  }
}
