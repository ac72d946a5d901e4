/** Ports and a subnet that nothing holds, for a lab that may be anywhere. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import type Docker from "dockerode";

export interface LabPorts {
  httpPort: number;
  statsPort: number;
  adminPort: number;
  /** The first of {@link NODE_PORTS}. */
  nodePorts: number;
}

/** How many ports in a row are kept for the nodes. */
export const NODE_PORTS = 20;

/**
 * Ports of this host that are free now, below those that the kernel gives to outgoing connections
 * (ip_local_port_range): such a one may be taken before the lab has it.
 *
 * @param name of the lab; where the search begins depends on it
 * @throws if none are free
 */
export async function findFreePorts(name: string): Promise<LabPorts> {
  const count = 3 + NODE_PORTS;
  for (let i = 0; i < 256; i++) {
    const httpPort = 21_000 + count * ((placeOf(name) + i) % 256);
    const run = Array.from({ length: count }, (_, offset) => checkPort(httpPort + offset));
    const results = await Promise.allSettled(run);
    if (results.every(({ status }) => status === "fulfilled")) {
      const [statsPort, adminPort, nodePorts] = [1, 2, 3].map((offset) => httpPort + offset);
      return { httpPort, statsPort, adminPort, nodePorts };
    }
  }
  throw new Error(`no ${count} free ports in a row from 21000 to ${21_000 + 256 * count - 1}`);
}

/** From 0 to 255, so that labs made at the same time begin their search at different places. */
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
export async function findFreeSubnet(engine: Docker, name: string): Promise<string> {
  const networks = await engine.listNetworks();
  const taken = networks.flatMap(({ IPAM }) => (IPAM?.Config ?? []).map(({ Subnet }) => Subnet));
  for (let i = 0; i < 256; i++) {
    const subnet = `10.213.${(placeOf(name) + i) % 256}.0/24`;
    if (!taken.includes(subnet)) return subnet;
  }
  throw new Error("no free subnet in 10.213.0.0/16");
}
