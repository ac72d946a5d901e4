import * as docker from "@pulumi/docker";
import type { Topology } from "../config/topology";

/** The lab's network: a bridge on one engine, an overlay over a Swarm's, which nodes added by hand join too. */
export function createNetwork({ label, network }: Topology): docker.Network {
  const { name, driver, subnet, gateway, ipRange } = network;
  return new docker.Network(
    "heig",
    {
      name,
      driver,
      ...(driver === "overlay" && { attachable: true }),
      ipamConfigs: [{ subnet, gateway, ...(ipRange && { ipRange }) }],
      labels: [label],
    },
    // Two networks can't have one subnet at the same time.
    { deleteBeforeReplace: true },
  );
}
