import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { ROLE_LABEL, type Member, type Topology } from "./topology";

/** What a member's container is made of beside its place in the topology. */
export interface MemberContainerArgs {
  member: Member;
  /** Image id. */
  image: pulumi.Input<string>;
  /** Name of the lab's network. */
  network: pulumi.Input<string>;
  label: Topology["label"];
}

/** How long a container's services may take to end their work at a stop, s. */
const STOP_SECONDS = 10;

/** One container of the lab: the same care for the balancer and the nodes. */
export function createMemberContainer(
  { member, image, network, label }: MemberContainerArgs,
  opts: pulumi.CustomResourceOptions,
): docker.Container {
  return new docker.Container(
    member.name,
    {
      name: member.containerName,
      image,
      hostname: member.name,
      envs: [`ROLE=${member.role}`, `TAG=${member.name}`],
      labels: [label, { label: ROLE_LABEL, value: member.role }],
      networksAdvanced: [{ name: network, ipv4Address: member.address, aliases: [member.name] }],
      ports: member.ports,
      restart: "unless-stopped",
      destroyGraceSeconds: STOP_SECONDS,
      // s6 starts as root and gives every service a user of its own; nothing else is needed.
      // With its prefix CAP_ each name reads back as it was written.
      capabilities: { drops: ["ALL"], adds: ["CAP_KILL", "CAP_SETGID", "CAP_SETUID"] },
      logDriver: "json-file",
      logOpts: { "max-size": "10m", "max-file": "3" },
    },
    opts,
  );
}
