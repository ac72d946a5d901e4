import { createHash } from "node:crypto";
import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { HAND_LABEL } from "../config/member";
import type { Topology } from "../config/topology";

/** The key that encrypts gossip, made once by providers/lab when the lab is first deployed. */
export class GossipKey extends pulumi.CustomResource {
  /** 32 bytes in base64; secret. */
  declare readonly key: pulumi.Output<string>;

  constructor(name: string, opts?: pulumi.CustomResourceOptions) {
    super("lab:index:GossipKey", name, { key: undefined }, opts);
  }
}

/** The key as the members get it. */
export interface SharedKey {
  /** 32 bytes in base64; secret. */
  content: pulumi.Output<string>;
  /** On a Swarm: what brings it to every engine. */
  secret?: docker.Secret;
}

/** Makes the lab's key, and on a Swarm the secret that has it. */
export function createSharedKey({ label, network, swarm }: Topology): SharedKey {
  const { key: content } = new GossipKey("gossip");
  return { content, secret: swarm && createSecret("gossip", network.name, content, label) };
}

/** A secret of a Swarm, with a name that changes with its content: it can't be changed, nor removed while in use. */
export function createSecret(
  name: string,
  prefix: string,
  content: pulumi.Output<string>,
  label: Topology["label"],
  opts?: pulumi.CustomResourceOptions,
): docker.Secret {
  const digest = content.apply((text) => createHash("sha256").update(text).digest("hex"));
  return new docker.Secret(
    name,
    {
      name: pulumi.unsecret(
        pulumi.interpolate`${prefix}-${name}-${digest.apply((it) => it.slice(0, 12))}`,
      ),
      data: content.apply((text) => Buffer.from(text).toString("base64")),
      labels: [label],
    },
    { deleteBeforeReplace: false, ...opts },
  );
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
