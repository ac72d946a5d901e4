/** What differs between one engine and a Swarm: who runs the nodes, and who balances. */
import type { Topology } from "../config/topology";
import { LoadBalancer } from "./loadBalancer";
import { SwarmLoadBalancer } from "./swarm/loadBalancer";
import { SwarmWebApp } from "./swarm/webapp";
import { WebApp } from "./webapp";

export const chooseComponents = ({ swarm }: Topology) =>
  swarm ? { WebApp: SwarmWebApp, LoadBalancer: SwarmLoadBalancer } : { WebApp, LoadBalancer };
