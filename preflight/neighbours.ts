/**
 * By gossip each member speaks to every other, and the host to all: the kernel has an entry for each
 * such pair in one table of neighbours for all containers (arp(7), gc_thresh1 to gc_thresh3). A full table
 * drops packets of whoever comes next. Long before, from gc_thresh2 on, the kernel searches it for entries to
 * forget whenever one comes, and each that is forgotten and comes again is a broadcast to all members.
 */
import { readFileSync } from "node:fs";
import { refusal } from "../config/labConfig";
import type { Check } from "./host";

/** The table's size, as sysctl calls it. */
const SIZE = "net.ipv4.neigh.default.gc_thresh3";

/** What has to be raised for room: from which numbers of entries on the kernel forgets some, and the size. */
export const NEIGHBOUR_LIMITS = [
  "net.ipv4.neigh.default.gc_thresh1",
  "net.ipv4.neigh.default.gc_thresh2",
  SIZE,
];

/** A sysctl as a file. */
export const sysctlFile = (name: string) => `/proc/sys/${name.replaceAll(".", "/")}`;

/** How many entries a lab fills. */
export const neighboursOf = (nodeCount: number) => (nodeCount + 1) ** 2;

/** The largest number of nodes that a table of that size holds. */
export const nodesWithin = (neighbours: number) => Math.floor(Math.sqrt(neighbours)) - 1;

/** A size that has room for a lab and as much again. */
export const roomFor = (nodeCount: number) => 2 * neighboursOf(nodeCount);

/** One of {@link NEIGHBOUR_LIMITS} on this host; undefined where the kernel does not say. */
export function readLimit(name: string): number | undefined {
  try {
    return Number(readFileSync(sysctlFile(name), "utf8"));
  } catch {
    return undefined;
  }
}

/** The table's size on this host; undefined where the kernel does not say. */
export const readNeighbours = () => readLimit(SIZE);

export const checkNeighbours: Check = ({ config }, { neighbours }) => {
  const { nodeCount } = config;
  if (neighbours === undefined || neighboursOf(nodeCount) <= neighbours) return [];
  const limits = NEIGHBOUR_LIMITS.map((name) => `${name}=${roomFor(nodeCount)}`);
  const allowed =
    `${nodesWithin(neighbours)} at most while this host's kernel keeps ${neighbours} neighbours, ` +
    `or first run as root: sysctl -w ${limits.join(" ")}`;
  return [refusal(config, "nodeCount", allowed)];
};
