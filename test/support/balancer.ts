/** The inside of a lab's balancer: its processes, its counters, and word to it past Pulumi. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { stringify } from "yaml";
import type { PushRequest } from "../../configurator/protocol/control";
import { renderHaproxyConfig, type ProxyNode } from "../../haproxy/render";
import { askConfigurator, type Outcome } from "../../configurator/client";
import { withoutFrames } from "../../docker/exec";
import type { LabCheckout } from "./checkout";
import { get, inContainer, parseStats, portOf } from "./observe";

const MASTER = "/run/haproxy/master.sock";
const STATE = "/var/lib/configurator";
const CONFIG_FOLDER = "/usr/local/etc/haproxy";
/** `:80` as /proc/net/tcp has it, in the state LISTEN. */
const LISTENS = /^\s*\d+: [0-9A-F]{8}:0050 \S+ 0A (?:\S+ +){5}(\d+)/gm;

/** A declaration as it is pushed, with the ids of the nodes' containers. */
export type Pushed = PushRequest["declaration"] & Pick<PushRequest, "containers">;

export const balancerName = (lab: LabCheckout) => `${lab.config.namePrefix}ha`;

/** The CLI closes only after its client, and ends each part of an answer with an empty line. */
const ASK = `echo "$1" >&7
  left=$2; while [ $left -gt 0 ] && IFS= read -r line; do
    echo "$line"; if [ -z "$line" ]; then left=$((left - 1)); fi
  done <&6`;

/** One command to HAProxy's master CLI, and so many parts of its answer. */
export const masterCli = (lab: LabCheckout, command: string, parts = 1) =>
  inContainer(
    lab,
    "ha",
    ...["s6-setuidgid", "haproxy", "s6-ipcclient", MASTER],
    ...["sh", "-c", ASK, "sh", command, String(parts)],
  );

/** HAProxy's processes by its own list. */
export async function showProcesses(lab: LabCheckout) {
  const pids = { master: [] as number[], worker: [] as number[], old: [] as number[] };
  let isOld = false;
  for (const line of (await masterCli(lab, "show proc")).split("\n")) {
    if (line.startsWith("# old workers")) isOld = true;
    const process = /^(\d+)\s+(master|worker)\s/.exec(line);
    if (process) pids[isOld ? "old" : (process[2] as "master" | "worker")].push(Number(process[1]));
  }
  return pids;
}

/** HAProxy's processes by the kernel, as pids of this host; who has no haproxy above it is a master. */
export async function proxies(lab: LabCheckout) {
  const top = (await lab.container("ha").top({ ps_args: "-eo pid,ppid,comm" })) as {
    Processes: [pid: string, ppid: string, command: string][];
  };
  const all = top.Processes.filter(([, , command]) => command === "haproxy");
  const pids = new Set(all.map(([pid]) => pid));
  const numbers = (of: typeof all) => of.map(([pid]) => Number(pid));
  return {
    masters: numbers(all.filter(([, parent]) => !pids.has(parent))),
    workers: numbers(all.filter(([, parent]) => pids.has(parent))),
    listening: numbers(all).filter(listensOn80),
  };
}

/** The configurator's process, as a pid of this host. */
export async function configuratorPid(lab: LabCheckout): Promise<number> {
  const top = (await lab.container("ha").top({ ps_args: "-eo pid,args" })) as {
    Processes: [pid: string, command: string][];
  };
  const found = top.Processes.find(([, args]) => /^node .*configurator\.js$/.test(args));
  if (found === undefined) throw new Error("the configurator does not run");
  return Number(found[0]);
}

function listensOn80(pid: number): boolean {
  try {
    const table = readFileSync(`/proc/${pid}/net/tcp`, "utf8");
    const inodes = new Set([...table.matchAll(LISTENS)].map(([, inode]) => `socket:[${inode}]`));
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      try {
        return inodes.has(readlinkSync(`/proc/${pid}/fd/${fd}`));
      } catch {
        return false; // closed meanwhile
      }
    });
  } catch {
    return false; // ended meanwhile
  }
}

/** The statistics page's figures, a row for each proxy and server, by `proxy/server`. */
export async function stats(lab: LabCheckout): Promise<Map<string, Record<string, string>>> {
  return parseStats((await get(portOf(lab, "statsPort"), "/;csv")).body);
}

/** A file of the configurator's that only HAProxy's user can read: root there may not, either. */
export const readStateFile = (lab: LabCheckout, file: string) =>
  inContainer(lab, "ha", "s6-setuidgid", "haproxy", "cat", `${STATE}/${file}`);

/** What the configurator was told last. */
export const readPushed = async (lab: LabCheckout) =>
  JSON.parse(await readStateFile(lab, "declaration.json")) as Pushed;

/** Tells the configurator what the provider would. */
export function push(lab: LabCheckout, pushed: Pushed, deadlineMs = 20_000): Promise<Outcome> {
  const { containers, ...declaration } = pushed;
  return askConfigurator(balancerName(lab), { do: "push", declaration, containers, deadlineMs });
}

/** Says to the configurator that it is time to look, as gossip does. */
export const trigger = (lab: LabCheckout) => tellBalancers(lab, "announce", "");

/**
 * Says something to all balancers, as a member does of itself.
 *
 * @param said name, address, role and tags with tabs in between, or nothing
 * @returns the answers by balancer
 */
export async function tellBalancers(
  lab: LabCheckout,
  query: "announce" | "leave",
  said: string,
): Promise<Record<string, string>> {
  const options = ["-format=json", "-no-ack", "-tag", "role=balancer", "-timeout=1s"];
  const json = await inContainer(lab, "ha", "serf", "query", ...options, query, said);
  return (JSON.parse(json) as { Responses: Record<string, string> }).Responses;
}

/** What the configurator has said so far, without the time and the name of its service. */
export async function configuratorLog(lab: LabCheckout): Promise<string[]> {
  const raw = await lab.container("ha").logs({ stdout: true, stderr: true });
  return withoutFrames(raw)
    .split("\n")
    .flatMap((line) => /^\S+ \S+ +configurator: (.*)$/.exec(line)?.[1] ?? []);
}

/** All that follows from a declaration while its nodes serve. */
export interface State {
  folder: string;
  config: string;
  applied: string;
  /** Files beside haproxy.cfg. */
  beside: string[];
  servers: string[];
  /** How the running process balances: shows which template it runs on. */
  algorithm: string;
}

/** What is there in the balancer now. */
export async function readState(lab: LabCheckout): Promise<State> {
  const files = `
    cat /nodes/*; echo =====; cat ${CONFIG_FOLDER}/haproxy.cfg; echo =====; cat ${STATE}/applied.cfg
    echo =====; ls -A ${CONFIG_FOLDER}`;
  const texts = (await inContainer(lab, "ha", "sh", "-c", files)).split("=====\n");
  const [folder, config, applied, list] = texts;
  const rows = parseStats(await masterCli(lab, "@1 show stat nodes 6 -1"));
  const algorithm = rows.get("nodes/BACKEND")?.algo ?? "";
  rows.delete("nodes/BACKEND");
  const servers = [...rows.values()].map(
    ({ svname, addr, status, check_status }) => `${svname} ${addr} ${status} ${check_status}`,
  );
  const beside = list.split("\n").filter((file) => file !== "" && !file.startsWith("filler"));
  return { folder, config, applied, beside, servers: servers.sort(), algorithm };
}

/** What there is to be. */
export function stateOf({ template, settings, nodes }: Pushed): State {
  const text = renderHaproxyConfig(template, settings, nodes);
  return {
    folder: nodes.map((node: ProxyNode) => stringify(node)).join(""),
    config: text,
    applied: text,
    beside: ["haproxy.cfg"],
    servers: nodes.map(({ name, address, port }) => `${name} ${address}:${port} UP L7OK`).sort(),
    algorithm: /^ {2}balance (\S+)$/m.exec(text)![1],
  };
}
