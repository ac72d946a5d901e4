import type * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { createMemberContainer } from "./container";
import type { Member, Topology } from "./topology";

export interface WebAppArgs {
  /** The nodes; their number decides how many containers exist. */
  nodes: Member[];
  /** Id of the web nodes' image. */
  image: pulumi.Input<string>;
  /** Name of the lab's network. */
  network: pulumi.Input<string>;
  label: Topology["label"];
  /** Key that encrypts gossip, 32 bytes in base64; secret. */
  gossipKey: pulumi.Input<string>;
}

/** The web nodes, started in parallel. */
export class WebApp extends pulumi.ComponentResource {
  /** By node name. */
  readonly containers: Record<string, docker.Container>;

  constructor(name: string, args: WebAppArgs, opts?: pulumi.ComponentResourceOptions) {
    super("lab:index:WebApp", name, {}, opts);
    const { nodes, ...shared } = args;
    this.containers = Object.fromEntries(
      nodes.map((member) => [
        member.name,
        createMemberContainer({ member, ...shared }, { parent: this }),
      ]),
    );
    this.registerOutputs({});
  }
}
