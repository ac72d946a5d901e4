import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { LabConfig } from "../../config/labConfig";
import { planTopology } from "../../config/topology";
import { renderHaproxyConfig } from "../../haproxy/render";

/** Numbers of nodes with a golden haproxy.cfg; 212 is the most that a /24 holds. */
export const GOLDEN_COUNTS = [0, 1, 2, 3, 10, 212];

/** Where the golden haproxy.cfg for so many nodes is. */
export function goldenFile(nodeCount: number): string {
  return join(__dirname, "golden", `${nodeCount}.cfg`);
}

/** haproxy.cfg as the program renders it for this configuration. */
export function renderFor(config: LabConfig): string {
  const { nodes, appPort, balancers } = planTopology(config);
  const servers = nodes.map(({ name, address }) => ({ name, address, port: appPort }));
  return renderHaproxyConfig(
    readFileSync("haproxy/haproxy.cfg.hbs", "utf8"),
    balancers[0].proxy,
    servers,
  );
}
