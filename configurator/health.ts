import { get } from "node:http";
import { isServing, type ServerStatus } from "./protocol/control";
import type { Declaration } from "./protocol/declaration";
import type { ProxyNode } from "../haproxy/render";
import type { Health } from "./membership";

/** How long a node that gossip does not know may be down before it is taken for gone. */
const LOST_AFTER_MS = 5000;
const PROBE_TIMEOUT_MS = 500;

/** Which nodes serve, and since when one does not. */
export class HealthRecord {
  private readonly downSince = new Map<string, number>();
  private readonly probed = new Map<string, Health>();
  private readonly probing = new Set<string>();

  /**
   * What the checks say by node: HAProxy's own, and for declared nodes that it does not have ours.
   * Ours is the one made at the last look: nobody waits for a node that does not answer.
   *
   * @param isExpected whether nodes are about to start, so that none counts as down for long
   */
  judge(
    declaration: Declaration,
    servers: ServerStatus[],
    isExpected: boolean,
  ): Map<string, Health> {
    const health = new Map<string, Health>(
      servers
        .filter(({ status }) => !status.startsWith("MAINT"))
        .map((server) => [server.name, judgeServer(server)]),
    );
    const unchecked = declaration.nodes.filter(({ name }) => !health.has(name));
    for (const node of unchecked) {
      health.set(node.name, this.probed.get(node.name) ?? "unknown");
      void this.probeAgain(node);
    }
    const names = new Set(unchecked.map(({ name }) => name));
    for (const name of this.probed.keys()) if (!names.has(name)) this.probed.delete(name);
    const now = Date.now();
    for (const [name, word] of health) {
      if (word !== "down" || isExpected) this.downSince.delete(name);
      else if (!this.downSince.has(name)) this.downSince.set(name, now);
    }
    return health;
  }

  private async probeAgain(node: ProxyNode): Promise<void> {
    if (this.probing.has(node.name)) return;
    this.probing.add(node.name);
    this.probed.set(node.name, (await probe(node)) ? "serving" : "down");
    this.probing.delete(node.name);
  }

  /** Whether a node has been down for longer than a start takes. */
  isLost(name: string): boolean {
    const since = this.downSince.get(name);
    return since !== undefined && Date.now() - since > LOST_AFTER_MS;
  }
}

function judgeServer(server: ServerStatus): Health {
  if (isServing(server)) return "serving";
  return server.status.startsWith("DOWN") ? "down" : "unknown";
}

/** HAProxy's own check, made once by the configurator. */
function probe({ address, port }: ProxyNode): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get({ host: address, port, path: "/health", timeout: PROBE_TIMEOUT_MS });
    request.on("response", (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on("timeout", () => request.destroy()).on("close", () => resolve(false));
    request.on("error", () => resolve(false));
  });
}
