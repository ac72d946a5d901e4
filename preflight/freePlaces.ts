/** Ports and a subnet that nothing holds, for a lab that may be anywhere. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import type Docker from "dockerode";

export interface LabPorts {
  httpPort: number;
  statsPort: number;
  adminPort: number;
  secondStatsPort: number;
  secondAdminPort: number;
  /** The first of {@link NODE_PORTS}. */
  nodePorts: number;
}

/** How many ports in a row are kept for the nodes. */
export const NODE_PORTS = 20;

const FIRST_PORT = 21_000;

/** Free ports of this host for a lab. @param name of the lab @throws if none are free */
export async function findFreePorts(name: string): Promise<LabPorts> {
  const httpPort = await findFreeRun(name, 5 + NODE_PORTS);
  const [statsPort, adminPort, secondStatsPort, secondAdminPort, nodePorts] = [1, 2, 3, 4, 5].map(
    (offset) => httpPort + offset,
  );
  return { httpPort, statsPort, adminPort, secondStatsPort, secondAdminPort, nodePorts };
}

/**
 * Ports of this host that are free now, below those that the kernel gives to outgoing connections
 * (ip_local_port_range): such a one may be taken before its user has it.
 *
 * @param name where the search begins depends on it
 * @returns the first of so many in a row
 * @throws if none are free
 */
export async function findFreeRun(name: string, count: number): Promise<number> {
  for (let i = 0; i < 256; i++) {
    const first = FIRST_PORT + count * ((placeOf(name) + i) % 256);
    const run = Array.from({ length: count }, (_, offset) => checkPort(first + offset));
    const results = await Promise.allSettled(run);
    if (results.every(({ status }) => status === "fulfilled")) return first;
  }
  const last = FIRST_PORT + 256 * count - 1;
  throw new Error(`no ${count} free ports in a row from ${FIRST_PORT} to ${last}`);
}

/** From 0 to 255, so that what is made at the same time begins its search at different places. */
function placeOf(name: string): number {
  return createHash("sha256").update(name).digest()[0];
}

/** Fails if the port is in use. */
async function checkPort(port: number): Promise<void> {
  const server = createServer().listen(port, "127.0.0.1");
  await once(server, "listening");
  server.close();
  await once(server, "close");
}

/** A /24 that no network of the engine has. @throws if none is free */
export async function findFreeSubnet(docker: Docker, name: string): Promise<string> {
  const networks = await docker.listNetworks();
  const taken = networks.flatMap(({ IPAM }) => (IPAM?.Config ?? []).map(({ Subnet }) => Subnet));
  for (let i = 0; i < 256; i++) {
    const subnet = `10.213.${(placeOf(name) + i) % 256}.0/24`;
    if (!taken.includes(subnet)) return subnet;
  }
  throw new Error("no free subnet in 10.213.0.0/16");
}
