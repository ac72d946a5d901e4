import { refusal } from "../config/labConfig";
import { containersOf } from "../config/topology";
import type { Check } from "./host";
import { attribute, list } from "./messages";

export const checkNames: Check = ({ config, topology }, host) => {
  const { network } = topology;
  const holders = [
    ...host.networks
      .filter(({ name, own }) => name === network.name && !own)
      .map((it) => `network ${attribute(it, config)}`),
    ...containersOf(topology)
      .flatMap(({ containerName }) => host.containers.filter(({ name }) => name === containerName))
      .filter(({ claim }) => claim === undefined)
      .map((it) => `container ${attribute(it, config)}`),
  ];
  if (holders.length === 0) return [];
  const allowed = `a prefix whose names are free, or remove what holds them (${list(holders)})`;
  return [refusal(config, "namePrefix", allowed)];
};
