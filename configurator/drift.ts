import type { ProxyNode } from "../haproxy/render";
import { askWorker, BACKEND, parseTable } from "./haproxyProcess";

/** Bits of srv_admin_state and srv_check_state; management.txt, "show servers state". */
const ADMIN = { maintenance: 0x01, drain: 0x08 };
const CHECK = { configured: 0x02, enabled: 0x04 };

/**
 * What the running worker has otherwise than haproxy.cfg says, as the admin CLI can make it.
 *
 * @param nodes the servers that are applied; what else is there is on its way out
 * @returns a line for each difference; none while there is no worker
 */
export async function readDrift(nodes: readonly ProxyNode[]): Promise<string[]> {
  const asked = askWorker("show stat -1 1 -1", "show servers state");
  return asked.then(([stat, states]) => listDrift(stat, states, nodes)).catch(() => []);
}

/**
 * The same for HAProxy's answers.
 *
 * @param stat frontends, as `show stat` has them
 * @param states servers, as `show servers state` has them
 */
export function listDrift(stat: string, states: string, nodes: readonly ProxyNode[]): string[] {
  const applied = new Set(nodes.map(({ name }) => name));
  const frontends = parseTable(stat, ",")
    .filter((cell) => cell("status") !== "OPEN")
    .map((cell) => `frontend ${cell("pxname")}: got ${cell("status")}, expected OPEN`);
  const servers = parseTable(states, " ")
    .filter((cell) => cell("be_name") !== BACKEND || applied.has(cell("srv_name")))
    .flatMap((cell) => {
      const [admin, check] = [Number(cell("srv_admin_state")), Number(cell("srv_check_state"))];
      const [weight, inFile] = [cell("srv_uweight"), cell("srv_iweight")];
      return [
        ...(admin & ADMIN.maintenance ? ["got MAINT, expected ready"] : []),
        ...(admin & ADMIN.drain ? ["got DRAIN, expected ready"] : []),
        ...(check & CHECK.configured && !(check & CHECK.enabled)
          ? ["got health checks off, expected on"]
          : []),
        ...(weight !== inFile ? [`got weight ${weight}, expected ${inFile}`] : []),
      ].map((difference) => `server ${cell("be_name")}/${cell("srv_name")}: ${difference}`);
    });
  return [...frontends, ...servers];
}
