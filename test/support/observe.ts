/** What a test sees of a lab from outside, as a user would. */
import { request } from "node:http";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { runInContainer } from "../../docker/exec";
import type { LabConfig } from "../../config/labConfig";
import { poll } from "../../time/poll";
import { renderFor } from "./golden";
import type { LabCheckout } from "./checkout";

export const names = (count: number) => Array.from({ length: count }, (_, i) => `s${i + 1}`);

/** A host port of the lab, by its config key. */
export const portOf = (lab: LabCheckout, key: string) => lab.config[key] as number;

/** One request to a port of this host on a fresh connection, so without cookie or reuse. */
export function get(port: number, path = "/"): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", port, path, agent: false, timeout: 5000 });
    sent.on("timeout", () => sent.destroy(new Error("no answer within 5 s")));
    sent.on("error", reject).on("response", (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    });
    sent.end();
  });
}

/** How many of so many answers through the balancer came from each node. */
export async function countAnswers(
  lab: LabCheckout,
  requests: number,
): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (let i = 0; i < requests; i++) {
    const { tag } = JSON.parse((await get(portOf(lab, "httpPort"))).body) as { tag: string };
    counts[tag] = (counts[tag] ?? 0) + 1;
  }
  return counts;
}

/** What a command in a container prints. */
export async function inContainer(
  lab: LabCheckout,
  name: string,
  ...command: string[]
): Promise<string> {
  const { stdout, stderr, exitCode } = await runInContainer(lab.container(name), command);
  if (exitCode !== 0) throw new Error(`${command.join(" ")} in ${name}: ${stdout}${stderr}`);
  return stdout;
}

export const CONFIG_PATH = "/usr/local/etc/haproxy/haproxy.cfg";

/** A balancer of a lab, by its name, and the config key of its admin CLI's host port. */
export interface BalancerView {
  name: string;
  adminPort: "adminPort" | "secondAdminPort";
}

export function balancersOf(lab: LabCheckout): BalancerView[] {
  if (lab.config.balancers !== 2) return [{ name: "ha", adminPort: "adminPort" }];
  return [
    { name: "ha1", adminPort: "adminPort" },
    { name: "ha2", adminPort: "secondAdminPort" },
  ];
}

export const configOnDisk = (lab: LabCheckout, balancer = balancersOf(lab)[0]) =>
  inContainer(lab, balancer.name, "cat", CONFIG_PATH);

/** haproxy.cfg as the program previews it for so many nodes. */
export function previewed(lab: LabCheckout, nodeCount: number): string {
  return renderFor(configOf(lab, nodeCount));
}

/** The lab's configuration as the program reads it, with so many nodes. */
export function configOf(lab: LabCheckout, nodeCount: number): LabConfig {
  return {
    stack: lab.stack,
    namePrefix: String(lab.config.namePrefix),
    subnet: String(lab.config.subnet),
    nodeCount,
    publishAddress: "127.0.0.1",
    adminAddress: "127.0.0.1",
    statsPassword: String(lab.config.statsPassword ?? ""),
    httpPort: portOf(lab, "httpPort"),
    statsPort: portOf(lab, "statsPort"),
    adminPort: portOf(lab, "adminPort"),
    balancers: Number(lab.config.balancers ?? 1),
    secondStatsPort: portOf(lab, "secondStatsPort"),
    secondAdminPort: portOf(lab, "secondAdminPort"),
    nodePorts: portOf(lab, "nodePorts"),
    serverTimeout: 1000,
    stickySessions: true,
    rollingSteps: 4,
    orchestrator: (lab.config.orchestrator ?? "docker") as LabConfig["orchestrator"],
    registry: String(lab.config.registry ?? ""),
    registryUser: String(lab.config.registryUser ?? ""),
    registryPassword: String(lab.config.registryPassword ?? ""),
    placement: "",
    publishMode: "host",
    readyTimeout: 60,
  };
}

/**
 * HAProxy's statistics, a row for each proxy and server, by `proxy/server`. The star of a check that is
 * being made is left out of its status: it says nothing of the result.
 */
export function parseStats(csv: string): Map<string, Record<string, string>> {
  const [header, ...rows] = csv.trim().split("\n");
  const columns = header.replace("# ", "").split(",");
  return new Map(
    rows.map((row) => {
      const cells = row.split(",");
      const named = Object.fromEntries(columns.map((column, i) => [column, cells[i]]));
      named.check_status = named.check_status.replace("* ", "");
      return [`${named.pxname}/${named.svname}`, named];
    }),
  );
}

/** The backend's servers in the running process, by its admin CLI as the host reaches it: `UP L7OK`. */
export async function runningServers(
  lab: LabCheckout,
  { adminPort } = balancersOf(lab)[0],
): Promise<Record<string, string>> {
  const cli = connect(portOf(lab, adminPort), "127.0.0.1");
  cli.write("show stat nodes 4 -1\n");
  const rows = [...parseStats(await text(cli)).values()];
  return Object.fromEntries(
    rows.map(({ svname, status, check_status }) => [svname, `${status} ${check_status}`]),
  );
}

/**
 * Longest time until agents call a member failed that has fallen silent, ms. Before a second one confirms
 * it they suspect it for 18 s (memberlist: SuspicionMult 3 of Serf's profile local, 6 times that, probes
 * a second apart), after the seconds until its turn comes to be probed.
 */
export const FAILED_WITHIN_MS = 40_000;

/** What of a container a scaling must not change. */
export async function identity(lab: LabCheckout, name: string) {
  const { Id, State, RestartCount } = await lab.container(name).inspect();
  return { Id, StartedAt: State.StartedAt, RestartCount };
}

/** Tries again until an attempt succeeds; after so many ms the last one's error is the caller's. */
export async function eventually<T>(withinMs: number, attempt: () => Promise<T>): Promise<T> {
  const look = async () => {
    try {
      return { value: await attempt() };
    } catch (error) {
      return { error: error as Error };
    }
  };
  const last = await poll(look, (seen) => seen.error === undefined, { everyMs: 50, withinMs });
  if (last.error !== undefined) throw last.error;
  return last.value;
}
