import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { describeMember, KEY_FILE } from "../config/member";
import type { Member, Topology } from "../config/topology";

/** What a member's container is made of beside its place in the topology. */
export interface MemberContainerArgs {
  member: Member;
  /** Image id. */
  image: pulumi.Input<string>;
  /** Name of the lab's network. */
  network: pulumi.Input<string>;
  label: Topology["label"];
  /** Key that encrypts gossip, 32 bytes in base64; secret. */
  gossipKey: pulumi.Input<string>;
}

/** One container of the lab: the same care for the balancer and the nodes. */
export function createMemberContainer(
  { member, image, network, label, gossipKey }: MemberContainerArgs,
  opts: pulumi.CustomResourceOptions,
): docker.Container {
  const { aliases, stopSeconds, ...described } = describeMember(member, label, "pulumi");
  return new docker.Container(
    member.name,
    {
      ...described,
      name: member.containerName,
      image,
      hostname: member.name,
      networksAdvanced: [{ name: network, ipv4Address: member.address, aliases }],
      ports: member.ports,
      destroyGraceSeconds: stopSeconds,
      // Neither the environment nor the command line, which everybody on the host can read.
      uploads: [{ file: KEY_FILE.path, content: gossipKey, permissions: KEY_FILE.permissions }],
    },
    opts,
  );
}
