import { parseSubnet } from "../config/addressPlan";
import { refusal } from "../config/labConfig";
import { overlaps } from "../config/subnet";
import type { Check } from "./host";
import { attribute, list } from "./messages";

export const checkSubnet: Check = ({ config }, { networks }) => {
  const subnet = parseSubnet(config.subnet);
  if (typeof subnet === "string") return [];
  // The stack's own network, when its name or subnet changes, is deleted before the new one is made.
  const overlapping = networks
    .filter(({ own }) => !own)
    .flatMap(({ subnets, ...network }) => subnets.map((cidr) => ({ ...network, cidr })))
    .filter(({ cidr }) => overlaps(subnet, cidr))
    .map(({ cidr, ...network }) => `network ${attribute(network, config)} has ${cidr}`);
  if (overlapping.length === 0) return [];
  const allowed = `a subnet that no other Docker network overlaps (${list(overlapping)})`;
  return [refusal(config, "subnet", allowed)];
};
