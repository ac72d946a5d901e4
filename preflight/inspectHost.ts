import { createServer } from "node:net";
import { hostname } from "node:os";
import type Docker from "dockerode";
import { HAND_LABEL } from "../config/member";
import { STACK_LABEL, type PublishedPort, type SwarmPlan } from "../config/topology";
import { addressOn } from "../docker/address";
import { connectDocker } from "../docker/connect";
import { chooseEndpoint, type Endpoint } from "../docker/endpoint";
import { judgeOwnership } from "../state/inventory";
import { listConfigured, readDeployment, type Deployment } from "../state/records";
import { keyOf, type DeclaredLab, type Host, type HostPort } from "./host";
import { readNeighbours } from "./neighbours";

/** A busy engine takes seconds. */
const ANSWER_WITHIN_MS = 30_000;

/** As dockerode has them; its types don't say so. */
interface Abortable {
  version(options: { abortSignal: AbortSignal }): Promise<Docker.DockerVersion>;
  info(options: { abortSignal: AbortSignal }): Promise<EngineInfo>;
}

interface NodeInfo {
  ID: string;
  Spec: { Availability: string };
  Description: { Hostname: string; Engine: { EngineVersion: string } };
  Status: { State: string };
}

interface EngineInfo {
  Name?: string;
  Swarm?: {
    NodeID?: string;
    LocalNodeState?: string;
    ControlAvailable?: boolean;
    RemoteManagers?: { Addr: string }[] | null;
  };
}

/**
 * Asks the engine and the host, all questions at the same time.
 *
 * @throws if the engine does not answer
 */
export async function inspectHost({ config, topology }: DeclaredLab): Promise<Host> {
  const endpoint = chooseEndpoint(process.env);
  const { address, source } = endpoint;
  const docker = connectDocker() as Docker & Abortable;
  const ask = (options: { abortSignal: AbortSignal }) =>
    Promise.all([
      docker.version(options),
      docker.info(options),
      docker.listNetworks(options),
      docker.listContainers({ all: true, ...options }),
      tryPorts([topology.front, ...topology.nodes].flatMap(({ ports }) => ports)),
    ]);
  const [{ Version, ApiVersion, KernelVersion }, info, networks, containers, refused] =
    await inTime(ask, endpoint);
  const deployment = readDeployment(config.stack);
  const owner = judgeOwnership(config.stack, deployment, networks, containers);
  const configured = new Set(listConfigured(deployment));
  // In a virtual machine or another container the engine's ports are not this host's.
  const isHere = address.startsWith("unix://") && info.Name === hostname();
  return {
    engine: { address, source, version: Version, api: ApiVersion, kernel: KernelVersion },
    swarm: topology.swarm && (await inspectSwarm(docker, topology.swarm, info, deployment)),
    networks: networks.map(({ Id, Name, Labels, IPAM }) => ({
      name: Name,
      stack: Labels?.[STACK_LABEL],
      own: owner.isOwnNetwork(Id),
      subnets: (IPAM?.Config ?? []).flatMap(({ Subnet }) => Subnet ?? []),
    })),
    containers: containers.map(({ Id, Names, Labels, State, Ports, NetworkSettings }, i) => ({
      name: Names[0]?.slice(1) ?? Id,
      stack: Labels[STACK_LABEL],
      claim: owner.claimOf(containers[i]),
      configured: configured.has(Id),
      state: State,
      ports: Ports.filter(({ PublicPort, Type }) => PublicPort && Type === "tcp").map(
        ({ IP, PublicPort }) => ({ ip: IP, port: PublicPort }),
      ),
      hand: Labels[HAND_LABEL],
      addresses: Object.fromEntries(
        Object.entries(NetworkSettings.Networks).map(([network, attachment]) => [
          network,
          addressOn(attachment),
        ]),
      ),
    })),
    refused: isHere ? refused : {},
    neighbours: isHere ? readNeighbours() : undefined,
  };
}

/** Each question has an answer in time: Swarm itself gives up when it has no leader. */
async function inspectSwarm(
  docker: Docker,
  { registry }: SwarmPlan,
  { Swarm = {} }: EngineInfo,
  { resources = [] }: Deployment,
): Promise<Host["swarm"]> {
  const { NodeID, LocalNodeState = "inactive", ControlAvailable = false, RemoteManagers } = Swarm;
  const ids = new Set(resources.map(({ id }) => id));
  const { server: serveraddress, username, password } = registry;
  const failed = (error: Error) => error;
  const [nodes, services, answer] = await Promise.all([
    // What can't be asked is told of the services.
    ControlAvailable ? (docker.listNodes() as Promise<NodeInfo[]>).catch(() => []) : [],
    ControlAvailable ? docker.listServices().catch(failed) : [],
    docker.checkAuth({ serveraddress, username, password }).catch(failed) as Promise<unknown>,
  ]);
  return {
    state: LocalNodeState,
    isManager: ControlAvailable,
    availability: nodes.find(({ ID }) => ID === NodeID)?.Spec.Availability,
    managers: (RemoteManagers ?? []).map(({ Addr }) => Addr),
    engines: nodes
      .filter(({ Status }) => Status.State === "ready")
      .map(({ Description: { Hostname, Engine } }) => ({
        name: Hostname,
        version: Engine.EngineVersion,
      })),
    error: services instanceof Error ? services.message : undefined,
    services:
      services instanceof Error
        ? []
        : services.map(({ ID, Spec }) => ({ name: Spec?.Name ?? "", own: ids.has(ID) })),
    registryError: answer instanceof Error ? answer.message : undefined,
  };
}

/**
 * Gives up on questions after a while: an engine may accept a connection and then say nothing.
 *
 * @throws if there was no answer in time, or as the questions do
 */
async function inTime<T>(
  ask: (options: { abortSignal: AbortSignal }) => Promise<T>,
  { address, source }: Endpoint,
): Promise<T> {
  const giveUp = new AbortController();
  const timer = setTimeout(() => giveUp.abort(), ANSWER_WITHIN_MS);
  try {
    return await ask({ abortSignal: giveUp.signal });
  } catch (error) {
    if (!giveUp.signal.aborted) throw error;
    const engine = `the Docker engine at ${address} (${source})`;
    throw new Error(`${engine}: no answer within ${ANSWER_WITHIN_MS / 1000} s`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

async function tryPorts(ports: PublishedPort[]): Promise<Record<string, string>> {
  const refused: Record<string, string> = {};
  const tryPort = async ({ ip, external }: PublishedPort) => {
    const port = { ip, port: external };
    const code = await tryToListen(port);
    if (code !== undefined) refused[keyOf(port)] = code;
  };
  await Promise.all(ports.map(tryPort));
  return refused;
}

/** The error code of an attempt to listen there for a moment. */
function tryToListen({ ip, port }: HostPort): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on("error", ({ code }: NodeJS.ErrnoException) => resolve(code));
    server.listen({ host: ip, port, exclusive: true }, () =>
      server.close(() => resolve(undefined)),
    );
  });
}
