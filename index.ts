import { readConfig } from "./config/labConfig";
import { createSharedKey, HandMadeNodes } from "./components/gossip";
import { LabImages } from "./components/images";
import { createNetwork } from "./components/network";
import { chooseComponents } from "./components/orchestrators";
import { readPlatform, readSwarmAddress } from "./docker/connect";
import { countRebuilds } from "./preflight/missingImages";
import { preflight } from "./preflight/preflight";
import { planTopology, type PublishedPort } from "./config/topology";

/** Declares the lab. Pulumi waits for this and keeps what it returns as the stack's outputs. */
export = async function declareLab() {
  const config = readConfig();
  const topology = planTopology(config);
  const { appPort, balancers, front, images, nodes } = topology;
  const servers = nodes.map(({ name, address }) => ({ name, address, port: appPort }));
  const running = await preflight({ config, topology, servers });
  const platform = await readPlatform();

  const network = createNetwork(topology);
  new HandMadeNodes("handMade", { network: network.id });
  const gossipKey = createSharedKey(topology);

  const built = new LabImages("images", {
    names: images,
    hasFront: balancers.length > 1,
    stack: config.stack,
    platform,
    registry: topology.swarm?.registry,
    rebuilds: await countRebuilds(config.stack, topology.swarm?.registry),
  });

  const { WebApp, LoadBalancer } = chooseComponents(topology);
  const webapp = new WebApp("webapp", {
    topology,
    image: built.webapp,
    network,
    platform,
    gossipKey,
    rollingSteps: config.rollingSteps,
    running,
    readyTimeout: config.readyTimeout,
  });

  new LoadBalancer("balancer", {
    topology,
    image: built.ha,
    frontImage: built.front,
    network,
    platform,
    gossipKey,
    statsPassword: config.statsPassword,
    servers,
    runs: webapp.runs,
    after: nodes.some(({ name }) => running.has(name)) ? [webapp.ready] : [],
    running,
    readyTimeout: config.readyTimeout,
  });

  // Where one finds it: 0.0.0.0 is every address, on a Swarm of every engine.
  const engine = (topology.swarm && (await readSwarmAddress())) ?? "127.0.0.1";
  const at = ({ ip, external }: PublishedPort) => `${ip === "0.0.0.0" ? engine : ip}:${external}`;
  const [http, stats, admin, secondStats, secondAdmin] = front.ports;
  return {
    url: `http://${at(http)}`,
    statsUrl: `http://${at(stats)}`,
    ...(admin && { adminAddress: at(admin) }),
    ...(secondStats && {
      secondStatsUrl: `http://${at(secondStats)}`,
      secondAdminAddress: at(secondAdmin),
    }),
    balancerAddress: front.address,
    nodeNames: nodes.map((node) => node.name),
    nodeAddresses: Object.fromEntries(nodes.map((node) => [node.name, node.address])),
    nodeUrls: nodes.flatMap((node) => node.ports).map((port) => `http://${at(port)}`),
  };
};
