/** What a test sees of a lab from outside, as a user would. */
import { request } from "node:http";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { runInContainer } from "../../docker/engine";
import type { LabConfig } from "../../config/labConfig";
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

export const configOnDisk = (lab: LabCheckout) => inContainer(lab, "ha", "cat", CONFIG_PATH);

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
    nodePorts: portOf(lab, "nodePorts"),
    serverTimeout: 1000,
    stickySessions: true,
    rollingSteps: 4,
    readyTimeout: 60,
  };
}

/** The backend's servers in the running process, by its admin CLI as the host reaches it. */
export async function runningServers(lab: LabCheckout): Promise<Record<string, string>> {
  const cli = connect(portOf(lab, "adminPort"), "127.0.0.1");
  cli.write("show stat nodes 4 -1\n");
  const [header, ...rows] = (await text(cli)).trim().split("\n");
  const columns = header.replace("# ", "").split(",");
  const cell = (row: string, column: string) => row.split(",")[columns.indexOf(column)];
  return Object.fromEntries(
    rows.map((row) => [cell(row, "svname"), `${cell(row, "status")} ${cell(row, "check_status")}`]),
  );
}

/** What of a container a scaling must not change. */
export async function identity(lab: LabCheckout, name: string) {
  const { Id, State, RestartCount } = await lab.container(name).inspect();
  return { Id, StartedAt: State.StartedAt, RestartCount };
}

/** Tries again until an attempt succeeds; after so many ms the last one's error is the caller's. */
export async function eventually<T>(patience: number, attempt: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + patience;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
    await sleep(50);
  }
}
