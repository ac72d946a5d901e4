import { get } from "node:http";
import { isServing, type ServerStatus } from "./protocol/control";
import type { ProxyNode } from "../haproxy/render";
import type { Health } from "./membership";

/** How long a node that gossip does not know may be down before it is taken for gone. */
const LOST_AFTER_MS = 5000;
/** How long a node that said it leaves must serve on until it is not believed: longer than a stop takes. */
const STAYS_AFTER_MS = 15_000;
const PROBE_TIMEOUT_MS = 500;

/** Which nodes serve, and how long they have done so, or not. */
export class HealthRecord {
  /** By name: the last word, and when it was new. */
  private readonly since = new Map<string, { word: Health; at: number }>();
  private readonly probed = new Map<string, Health>();
  private readonly probing = new Set<string>();

  /**
   * What the checks say by node: HAProxy's own, and for nodes that it does not have ours.
   * Ours is the one made at the last look: nobody waits for a node that does not answer.
   *
   * @param nodes those that may be in
   * @param isExpected whether nodes are about to start, so that none counts as down for long
   * @param path what the checks ask for
   */
  judge(
    nodes: readonly ProxyNode[],
    servers: ServerStatus[],
    isExpected: boolean,
    path: string,
  ): Map<string, Health> {
    const health = new Map<string, Health>(
      servers
        .filter(({ status }) => !status.startsWith("MAINT"))
        .map((server) => [server.name, judgeServer(server)]),
    );
    const unchecked = nodes.filter(({ name }) => !health.has(name));
    for (const node of unchecked) {
      health.set(node.name, this.probed.get(node.name) ?? "unknown");
      void this.probeAgain(node, path);
    }
    const names = new Set(unchecked.map(({ name }) => name));
    for (const name of this.probed.keys()) if (!names.has(name)) this.probed.delete(name);
    for (const [name, word] of health) {
      if (word === "down" && isExpected) this.since.delete(name);
      else if (this.since.get(name)?.word !== word) {
        this.since.set(name, { word, at: performance.now() });
      }
    }
    for (const name of this.since.keys()) if (!health.has(name)) this.since.delete(name);
    return health;
  }

  private async probeAgain(node: ProxyNode, path: string): Promise<void> {
    if (this.probing.has(node.name)) return;
    this.probing.add(node.name);
    this.probed.set(node.name, (await probe(node, path)) ? "serving" : "down");
    this.probing.delete(node.name);
  }

  /** Whether a node has been down for longer than a start takes. */
  isLost(name: string): boolean {
    return this.hasBeen("down", name, LOST_AFTER_MS);
  }

  /** Says that a node leaves: what it served before no longer counts. */
  leaves(name: string): void {
    this.since.delete(name);
  }

  /** Whether a node has served for longer than a stop takes, since it said that it leaves. */
  stays(name: string): boolean {
    return this.hasBeen("serving", name, STAYS_AFTER_MS);
  }

  private hasBeen(word: Health, name: string, ms: number): boolean {
    const since = this.since.get(name);
    return since?.word === word && performance.now() - since.at > ms;
  }
}

function judgeServer(server: ServerStatus): Health {
  if (isServing(server)) return "serving";
  return server.status.startsWith("DOWN") ? "down" : "unknown";
}

/** HAProxy's own check, made once by the configurator. */
function probe({ address, port }: ProxyNode, path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get({ host: address, port, path, timeout: PROBE_TIMEOUT_MS });
    request.on("response", (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on("timeout", () => request.destroy()).on("close", () => resolve(false));
    request.on("error", () => resolve(false));
  });
}
