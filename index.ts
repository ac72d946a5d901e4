import * as docker from "@pulumi/docker";
import { readConfig } from "./components/config";
import { LabImages } from "./components/images";
import { LoadBalancer } from "./components/loadBalancer";
import { planTopology } from "./components/topology";
import { WebApp } from "./components/webapp";

const config = readConfig();
const { appPort, balancer, images, label, network, nodes, proxy } = planTopology(config);

const lan = new docker.Network(
  "heig",
  {
    name: network.name,
    driver: "bridge",
    ipamConfigs: [{ subnet: network.subnet, gateway: network.gateway, ipRange: network.ipRange }],
    labels: [label],
  },
  // Two networks can't have one subnet at the same time.
  { deleteBeforeReplace: true },
);

const built = new LabImages("images", { names: images, stack: config.stack });

const webapp = new WebApp("webapp", {
  nodes,
  image: built.webapp,
  network: lan.name,
  label,
});

new LoadBalancer("balancer", {
  member: balancer,
  image: built.ha,
  network: lan.name,
  label,
  settings: proxy,
  servers: nodes.map(({ name, address }) => ({ name, address, port: appPort })),
  backends: webapp.containers,
  readyTimeout: config.readyTimeout,
});

/** Where a browser on this machine finds the lab: 0.0.0.0 is every address, the loopback's too. */
const at = (address: string, port: number) =>
  `${address === "0.0.0.0" ? "127.0.0.1" : address}:${port}`;

export const url = `http://${at(config.publishAddress, config.httpPort)}`;
export const statsUrl = `http://${at(config.adminAddress, config.statsPort)}`;
export const adminAddress = at(config.adminAddress, config.adminPort);
export const balancerAddress = balancer.address;
export const nodeNames = nodes.map((node) => node.name);
export const nodeAddresses = Object.fromEntries(nodes.map((node) => [node.name, node.address]));
export const nodeUrls = Object.fromEntries(
  nodes.flatMap(({ name, ports }) =>
    ports.map(({ ip, external }) => [name, `http://${at(ip, external)}`]),
  ),
);
