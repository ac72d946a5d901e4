import * as docker from "@pulumi/docker";
import { readConfig } from "./components/config";
import { LabImages } from "./components/images";
import { LoadBalancer } from "./components/loadBalancer";
import { planTopology, type PublishedPort } from "./components/topology";
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

/** Where this machine finds it: 0.0.0.0 is every address, the loopback's too. */
const at = ({ ip, external }: PublishedPort) =>
  `${ip === "0.0.0.0" ? "127.0.0.1" : ip}:${external}`;
const [http, stats, admin] = balancer.ports;

export const url = `http://${at(http)}`;
export const statsUrl = `http://${at(stats)}`;
export const adminAddress = at(admin);
export const balancerAddress = balancer.address;
export const nodeNames = nodes.map((node) => node.name);
export const nodeAddresses = Object.fromEntries(nodes.map((node) => [node.name, node.address]));
export const nodeUrls = nodes.flatMap((node) => node.ports).map((port) => `http://${at(port)}`);
