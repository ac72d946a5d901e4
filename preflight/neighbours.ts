/**
 * By gossip each member speaks to every other, and the host to all: the kernel has an entry for each
 * such pair in one table of neighbours for all containers (arp(7), gc_thresh3). A full table drops
 * packets of whoever comes next.
 */
import { readFileSync } from "node:fs";
import { refusal } from "../config/labConfig";
import type { Check } from "./host";

/** The table's size, as sysctl calls it. */
export const NEIGHBOURS = "net.ipv4.neigh.default.gc_thresh3";

/** The same as a file. */
export const NEIGHBOURS_FILE = `/proc/sys/${NEIGHBOURS.replaceAll(".", "/")}`;

/** How many entries a lab fills. */
export const neighboursOf = (nodeCount: number) => (nodeCount + 1) ** 2;

/** The largest number of nodes that a table of that size holds. */
export const nodesWithin = (neighbours: number) => Math.floor(Math.sqrt(neighbours)) - 1;

/** A size that has room for a lab and as much again. */
export const roomFor = (nodeCount: number) => 2 * neighboursOf(nodeCount);

/** The table's size on this host; undefined where the kernel does not say. */
export function readNeighbours(): number | undefined {
  try {
    return Number(readFileSync(NEIGHBOURS_FILE, "utf8"));
  } catch {
    return undefined;
  }
}

export const checkNeighbours: Check = ({ config }, { neighbours }) => {
  const { nodeCount } = config;
  if (neighbours === undefined || neighboursOf(nodeCount) <= neighbours) return [];
  const allowed =
    `${nodesWithin(neighbours)} at most while this host's kernel keeps ${neighbours} neighbours, ` +
    `or first run as root: sysctl -w ${NEIGHBOURS}=${roomFor(nodeCount)}`;
  return [refusal(config, "nodeCount", allowed)];
};
