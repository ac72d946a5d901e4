import { refusal, type LabConfig } from "../config/labConfig";
import type { PublishedPort } from "../config/topology";
import { collides, keyOf, type Check, type Host, type HostPort } from "./host";
import { attribute, list } from "./messages";

export const checkPorts: Check = ({ config, topology }, host) => {
  // On a Swarm they are each engine's own: one that has none free says so at its task.
  if (topology.swarm) return [];
  const [http, stats, admin, secondStats, secondAdmin] = topology.front.ports;
  const wanted: [key: keyof LabConfig, ports: PublishedPort[], allowed: string][] = [
    ["httpPort", [http], "a free port"],
    ["statsPort", [stats], "a free port"],
    ["adminPort", [admin], "a free port"],
    ["secondStatsPort", secondStats ? [secondStats] : [], "a free port"],
    ["secondAdminPort", secondAdmin ? [secondAdmin] : [], "a free port"],
    ["nodePorts", topology.nodes.flatMap(({ ports }) => ports), "the first of as many free ports"],
  ];
  return wanted.flatMap(([key, ports, allowed]) => {
    const holders = ports
      .map(({ ip, external }) => findHolder({ ip, port: external }, config, host))
      .filter((holder) => holder !== undefined);
    return holders.length > 0 ? [refusal(config, key, `${allowed} (${list(holders)})`)] : [];
  });
};

/** Who has a port of the host, unless it is the stack itself. */
function findHolder(wanted: HostPort, config: LabConfig, host: Host): string | undefined {
  const holders = host.containers.filter(({ ports }) =>
    ports.some((port) => collides(port, wanted)),
  );
  const foreign = holders.find(({ claim }) => claim === undefined);
  if (foreign) return `container ${attribute(foreign, config)} publishes ${keyOf(wanted)}`;
  // A port of an own container is the lab's, also when another one of them is to have it.
  if (holders.length > 0 || host.refused[keyOf(wanted)] !== "EADDRINUSE") return undefined;
  return `another program on this host has ${keyOf(wanted)}`;
}
