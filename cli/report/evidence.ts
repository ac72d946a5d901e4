/** What a lab shows of itself, read from the engine and from inside `ha`. Changes nothing. */
import type Docker from "dockerode";
import { isServing, type ClusterView } from "../../configurator/protocol/control";
import { paths } from "../../configurator/paths";
import { connectDocker } from "../../docker/connect";
import { runInContainer, withoutFrames } from "../../docker/exec";
import { sortNodes } from "../../haproxy/render";
import type { LabContainer } from "../../state/inventory";
import { formatTable } from "../table";

export const SERF_LOG = "/var/log/serf.log";

/** What a command in a running container prints. @throws with what it says if it fails */
export async function readFrom(container: LabContainer, ...command: string[]): Promise<string> {
  const target = connectDocker().getContainer(container.id);
  const { exitCode, stdout, stderr } = await runInContainer(target, command, { user: "root" });
  if (exitCode === 0) return stdout;
  const said = stderr.trim() || stdout.trim() || `exit code ${exitCode}`;
  throw new Error(`${command.join(" ")} in ${container.containerName}: ${said}`);
}

/** The lines of serf.log as cells: time, event, member, role. @param since ms; whole seconds count */
export function parseSerfLog(log: string, since: number): string[][] {
  return log
    .split("\n")
    .map((line) => /^(\S+) (\S+) name="([^"]*)".* role="([^"]*)"/.exec(line)?.slice(1))
    .filter((cells) => cells !== undefined)
    .filter(([time]) => Date.parse(time) >= Math.floor(since / 1000) * 1000);
}

/** haproxy.cfg on disk, without the hash of a password that it may hold. */
export async function readConfig(balancer: LabContainer): Promise<string> {
  return withoutPasswords(await readFrom(balancer, "cat", paths.config));
}

/** HAProxy's keywords that are followed by a password or its hash (configuration manual, 12.2). */
export const withoutPasswords = (config: string) =>
  config.replace(/^(\s*(?:user \S+ (?:insecure-)?password|stats auth) )\S+/gm, "$1(left out)");

/** The files of /nodes. */
export async function listNodeFiles(balancer: LabContainer): Promise<string[]> {
  const names = (await readFrom(balancer, "ls", paths.nodes)).split("\n").filter(Boolean);
  return sortNodes(names.map((name) => ({ name }))).map(({ name }) => name);
}

/** `docker logs`. @param since only what came after this time, ms; all without it */
export async function readLogs(container: LabContainer, since = 0): Promise<string> {
  return withoutFrames(await askLogs(container, since, false));
}

/** One line of a container's log. */
export interface LogLine {
  /** The engine's time, ms. */
  at: number;
  text: string;
}

export async function readLogLines(container: LabContainer, since: number): Promise<LogLine[]> {
  const lines = withoutFrames(await askLogs(container, since, true)).split("\n");
  return lines.filter(Boolean).map((line) => {
    const end = line.indexOf(" ");
    return { at: Date.parse(line.slice(0, end)), text: line.slice(end + 1) };
  });
}

function askLogs({ id }: LabContainer, since: number, timestamps: boolean): Promise<Buffer> {
  const options = { stdout: true, stderr: true, follow: false, timestamps } as const;
  // Seconds with a fraction; the type knows whole ones only, which would show more.
  return connectDocker()
    .getContainer(id)
    .logs({ ...options, since: since / 1000 });
}

/** `docker inspect`. */
export async function inspect({ id }: LabContainer): Promise<string> {
  return JSON.stringify([await connectDocker().getContainer(id).inspect()], undefined, 2) + "\n";
}

/** `docker ps` of these containers: those that run. */
export async function listRunning(containers: LabContainer[]): Promise<string> {
  const running = await connectDocker().listContainers();
  return formatContainers(
    running.filter(({ Id }) => containers.some(({ id }) => id === Id)),
    Date.now(),
  );
}

/** The columns of `docker ps`. @param now ms */
export function formatContainers(containers: Docker.ContainerInfo[], now: number): string {
  const header = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"];
  const rows = sortNodes(
    containers.map((container) => ({ ...container, name: container.Names[0].slice(1) })),
  ).map(({ Id, Image, Command, Created, Status, Ports, name }) => [
    Id.slice(0, 12),
    Image.replace(/^sha256:(.{12}).*/, "$1"),
    JSON.stringify(Command),
    `${Math.round(now / 1000 - Created)} seconds ago`,
    Status,
    Ports.map(({ IP, PublicPort, PrivatePort, Type }) =>
      PublicPort ? `${IP}:${PublicPort}->${PrivatePort}/${Type}` : `${PrivatePort}/${Type}`,
    )
      .sort()
      .join(", "),
    name,
  ]);
  return formatTable(header, rows).join("\n") + "\n";
}

/** The same moment as each part of the lab has it. */
export interface Snapshot {
  /** What the lab has just done. */
  step: string;
  /** Alive by gossip, with the balancer. */
  members: string[];
  /** The files of /nodes. */
  nodes: string[];
  /** Servers that have passed HAProxy's check. */
  serving: string[];
  /** Text of haproxy.cfg. */
  config: string;
}

export function namesOf({ members = [], servers = [] }: ClusterView) {
  const alive = members.filter(({ status }) => status === "alive");
  return {
    members: sortNodes(alive).map(({ name }) => name),
    serving: sortNodes(servers.filter(isServing)).map(({ name }) => name),
  };
}

/** Whether gossip, /nodes, haproxy.cfg and HAProxy have these nodes and no others. */
export function isSettled(cluster: ClusterView, balancer: string, wanted: string[]): boolean {
  const same = (names: { name: string }[], expected: string[]) =>
    names
      .map(({ name }) => name)
      .sort()
      .join() === [...expected].sort().join();
  const { members = [], nodes, file, servers = [] } = cluster;
  return (
    same(
      members.filter(({ status }) => status === "alive"),
      [balancer, ...wanted],
    ) &&
    same(nodes, wanted) &&
    same(file, wanted) &&
    same(servers.filter(isServing), wanted)
  );
}

/** When a node started, was announced and answered its first request; the engine's time, ms. */
export interface NodeStart {
  node: string;
  started: number;
  announced?: number;
  answered?: number;
}

/** Reads a start out of the logs. @param started when the node's container did */
export function findStart(
  node: string,
  started: number,
  balancerLog: LogLine[],
  nodeLog: LogLine[],
): NodeStart {
  const first = (lines: LogLine[], what: RegExp) =>
    lines.find(({ at, text }) => at >= started && what.test(text))?.at;
  return {
    node,
    started,
    announced: first(balancerLog, /\bannounce\b/),
    answered: first(nodeLog, /\bGET \/ 200\b/),
  };
}
