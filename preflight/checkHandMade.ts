import { refusal, type LabConfig } from "../config/labConfig";
import { containersOf } from "../config/topology";
import type { Check, Host } from "./host";
import { list } from "./messages";

/**
 * Nodes added by hand stand where they stand: what the lab is going to be must leave them their
 * names, addresses and network. Their network, replaced, would take them away.
 */
export const checkHandMade: Check = ({ config, topology }, host) => {
  const nodes = listHandMade(host);
  const names = containersOf(topology).map(({ name }) => name);
  const planned = [topology.front, ...topology.nodes].map(({ address }) => address);

  const inNetwork = nodes.filter(({ network }) => network.name === topology.network.name);
  const moved = inNetwork.filter(({ network }) => !network.subnets.includes(config.subnet));
  const staying = inNetwork.filter((node) => !moved.includes(node));
  const isAsBalancer = ({ name }: HandMade) =>
    topology.balancers.some((balancer) => balancer.name === name);
  const inTheWay = staying.filter(
    (node) => !isAsBalancer(node) && (names.includes(node.name) || planned.includes(node.address)),
  );
  const renamed = nodes.filter(({ network }) => network.name !== topology.network.name);
  const wanted: [key: keyof LabConfig, nodes: HandMade[], allowed: string][] = [
    ["nodeCount", inTheWay, "a number whose names and addresses no node added by hand has"],
    [
      "balancers",
      staying.filter(isAsBalancer),
      "1 while a node added by hand has a balancer's name",
    ],
    ["subnet", moved, "the network of the nodes added by hand"],
    ["namePrefix", renamed, "the prefix of the nodes added by hand"],
  ];
  return wanted
    .filter(([, nodes]) => nodes.length > 0)
    .map(([key, nodes, allowed]) => {
      const holders = nodes.map(({ name, address }) => `${name} at ${address}`);
      const names = nodes.map(({ name }) => name).join(" ");
      const way = `npm run node -- remove ${names} --stack ${config.stack}`;
      return refusal(config, key, `${allowed} (${list(holders)}), or run: ${way}`);
    });
};

/** A node added by hand to this stack's lab. */
interface HandMade {
  /** Name in the lab. */
  name: string;
  address: string;
  network: Host["networks"][number];
}

function listHandMade({ containers, networks }: Host): HandMade[] {
  return containers.flatMap(({ claim, hand, addresses = {} }) => {
    const network = networks.find(({ own, name }) => own && name in addresses);
    return claim !== "byHand" || hand === undefined || network === undefined
      ? []
      : [{ name: hand, address: addresses[network.name], network }];
  });
}
