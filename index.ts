import * as docker from "@pulumi/docker";
import { bundlePrograms } from "./bundles/imagePrograms";
import { readConfig } from "./config/labConfig";
import { GossipKey, HandMadeNodes } from "./components/gossip";
import { LabImages } from "./components/images";
import { LoadBalancer } from "./components/loadBalancer";
import { readPlatform } from "./docker/engine";
import { countRebuilds } from "./preflight/missingImages";
import { preflight } from "./preflight/preflight";
import { skipPromiseTraces } from "./config/stackTraces";
import { planTopology, type PublishedPort } from "./config/topology";
import { WebApp } from "./components/webapp";

skipPromiseTraces();

/** Where this machine finds it: 0.0.0.0 is every address, the loopback's too. */
const at = ({ ip, external }: PublishedPort) =>
  `${ip === "0.0.0.0" ? "127.0.0.1" : ip}:${external}`;

/** Declares the lab. Pulumi waits for this and keeps what it returns as the stack's outputs. */
export = async function declareLab() {
  const config = readConfig();
  const topology = planTopology(config);
  const { appPort, balancer, images, label, network, nodes, proxy } = topology;
  const servers = nodes.map(({ name, address }) => ({ name, address, port: appPort }));
  const running = await preflight({ config, topology, servers });

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

  new HandMadeNodes("handMade", { network: lan.id });
  const { key: gossipKey } = new GossipKey("gossip");

  bundlePrograms();
  const built = new LabImages("images", {
    names: images,
    stack: config.stack,
    platform: await readPlatform(),
    rebuilds: await countRebuilds(config.stack),
  });

  const webapp = new WebApp("webapp", {
    nodes,
    image: built.webapp,
    network: lan.name,
    label,
    gossipKey,
    balancer: balancer.containerName,
    settings: proxy,
    rollingSteps: config.rollingSteps,
    running,
    readyTimeout: config.readyTimeout,
  });

  new LoadBalancer("balancer", {
    member: balancer,
    image: built.ha,
    network: lan.name,
    label,
    gossipKey,
    settings: proxy,
    statsPassword: config.statsPassword,
    servers,
    handMade: { range: network.ipRange, port: appPort },
    serverContainers: webapp.containers,
    after: running.size > 0 ? [webapp.ready] : [],
    readyTimeout: config.readyTimeout,
  });

  const [http, stats, admin] = balancer.ports;
  return {
    url: `http://${at(http)}`,
    statsUrl: `http://${at(stats)}`,
    adminAddress: at(admin),
    balancerAddress: balancer.address,
    nodeNames: nodes.map((node) => node.name),
    nodeAddresses: Object.fromEntries(nodes.map((node) => [node.name, node.address])),
    nodeUrls: nodes.flatMap((node) => node.ports).map((port) => `http://${at(port)}`),
  };
};
