import * as docker from "@pulumi/docker";
import type * as pulumi from "@pulumi/pulumi";
import { aliasesOf, describeMember, KEY_FILE, STOP_SECONDS } from "../config/member";
import type { Balancer, Member, Topology } from "../config/topology";

/** What a member's container is made of beside its place in the topology. */
export interface MemberContainerArgs {
  member: Pick<Member, "name" | "containerName" | "role"> & Pick<Balancer, "shared">;
  /** Where in the lab's network it is; {@link placeOf} for one with an address of its own. */
  place: Pick<
    docker.ContainerArgs,
    "hostname" | "networksAdvanced" | "ports" | "networkMode" | "volumes"
  >;
  /** Image id. */
  image: pulumi.Input<string>;
  label: Topology["label"];
  /** Key that encrypts gossip, 32 bytes in base64; secret. */
  gossipKey: pulumi.Input<string>;
}

/** One container of the lab: the same care for the balancers and the nodes. */
export function createMemberContainer(
  { member, place, image, label, gossipKey }: MemberContainerArgs,
  opts: pulumi.CustomResourceOptions,
): docker.Container {
  return new docker.Container(
    member.name,
    {
      ...describeMember(member, label, "pulumi"),
      ...place,
      name: member.containerName,
      image,
      destroyGraceSeconds: STOP_SECONDS,
      // Neither the environment nor the command line, which everybody on the host can read.
      uploads: [{ file: KEY_FILE.path, content: gossipKey, permissions: KEY_FILE.permissions }],
    },
    opts,
  );
}

/** A place at the member's own address, under the names by which the others find it. */
export function placeOf({ name, address, ports }: Member, network: pulumi.Input<string>) {
  return {
    hostname: name,
    networksAdvanced: [{ name: network, ipv4Address: address, aliases: aliasesOf(name) }],
    ports,
  };
}
