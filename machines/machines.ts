/** The machines on one laptop: their network, their containers, and what of them there is. */
import type Docker from "dockerode";
import { addressAt, parseCidr } from "../config/subnet";
import { connectDocker, connectTo, isNotFound } from "../docker/connect";
import { removeContainer } from "../docker/remove";
import { findFreeRun, findFreeSubnet } from "../preflight/freePlaces";
import { awaitEngine, describeEngine } from "./engine";

/** On everything that is made for the machines, and on nothing else. */
const LABEL = "dynamic-scaling-lab.machines";
/** The label's values on containers. Those made of the image for something else inherit `image`. */
type Part = "machine" | "registry";

export const MOST_MACHINES = 7;
export const NETWORK = "machines-net";
/** The container, its volume and its name in the network. */
export const REGISTRY_NAME = "machine-registry";
/** As the machines' engines reach it. */
export const REGISTRY = `${REGISTRY_NAME}:5000`;
/** The registry's place in the network; that of machine 1 is the next one. */
const REGISTRY_OFFSET = 10;

/** The ports of a machine that this host has on 127.0.0.1: its Docker API, the traffic, the statistics. */
const API_PORT = 2375;
const HTTP_PORT = 80;
const STATS_PORT = 1936;

export interface Machine {
  number: number;
  /** Of its container, its volume and its host. */
  name: string;
  /** Docker's word: running, exited, … */
  state: string;
  /** In the network of the machines. */
  address: string;
  /** What DOCKER_HOST has to be for a program that is to use its engine. */
  dockerHost: string;
  /** Where its port 80 is on this host. */
  url: string;
  /** Where its port 1936 is on this host. */
  statsUrl: string;
}

export const nameMachine = (number: number) => `machine${number}`;

/** The client of a machine's engine. */
export const connectMachine = ({ dockerHost, name }: Machine) =>
  connectTo({ address: dockerHost, source: name });

const labelled = (value: string) => ({ [LABEL]: value });
const ofMachines = { filters: { label: [LABEL] } };

/** Those that there are, running or not, in their order. */
export async function listMachines(): Promise<Machine[]> {
  const containers = await listContainers("machine");
  const infos = await Promise.all(
    containers.map(({ Id }) => connectDocker().getContainer(Id).inspect()),
  );
  return infos.map(describeMachine).sort((a, b) => a.number - b.number);
}

/** Docker's word for the registry's container; undefined if there is none. */
export async function readRegistryState(): Promise<string | undefined> {
  return (await listContainers("registry")).at(0)?.State;
}

async function listContainers(...parts: Part[]): Promise<Docker.ContainerInfo[]> {
  const containers = await connectDocker().listContainers({ all: true, ...ofMachines });
  return containers.filter(({ Labels }) => parts.includes(Labels[LABEL] as Part));
}

function describeMachine({
  Name,
  State,
  HostConfig,
  NetworkSettings,
}: Docker.ContainerInspectInfo) {
  const name = Name.slice(1);
  const bindings = HostConfig.PortBindings as Record<string, [{ HostPort: string }]>;
  const { IPAMConfig } = NetworkSettings.Networks[NETWORK] as Docker.EndpointSettings;
  const onHost = (port: number) => `127.0.0.1:${bindings[`${port}/tcp`][0].HostPort}`;
  return {
    number: Number(name.slice(nameMachine(0).length - 1)),
    name,
    state: State.Status,
    address: IPAMConfig!.IPv4Address!,
    dockerHost: `tcp://${onHost(API_PORT)}`,
    url: `http://${onHost(HTTP_PORT)}`,
    statsUrl: `http://${onHost(STATS_PORT)}`,
  };
}

/** Where the machines are for each other. */
export interface MachinesNetwork {
  subnet: string;
  /** This host, as the machines see it. */
  gateway: string;
}

/** The machines' network, if there is one. @throws if somebody else's has its name */
export async function findNetwork(): Promise<MachinesNetwork | undefined> {
  const networks = await connectDocker().listNetworks({ filters: { name: [NETWORK] } });
  const found = networks.find(({ Name }) => Name === NETWORK);
  if (found === undefined) return undefined;
  requireOwn("network", NETWORK, found.Labels);
  const { Subnet = "", Gateway = "" } = found.IPAM?.Config?.[0] ?? {};
  return { subnet: Subnet, gateway: Gateway };
}

export async function makeNetwork(): Promise<void> {
  const subnet = await findFreeSubnet(connectDocker(), NETWORK);
  const gateway = addressAt(parseCidr(subnet)!, 1);
  await connectDocker().createNetwork({
    Name: NETWORK,
    Labels: labelled("network"),
    IPAM: { Config: [{ Subnet: subnet, Gateway: gateway }] },
  });
}

/** Starts a machine, which is made if there is none, and waits until its engine answers. */
export async function startMachine(number: number, image: string): Promise<void> {
  const name = nameMachine(number);
  const container = await ensureContainer(name, async (network) => {
    const port = await findFreeRun(name, 3);
    const options = describeEngine({
      name,
      image,
      ports: [API_PORT, HTTP_PORT, STATS_PORT].map((inside, i) => [inside, port + i]),
      env: [`API_CLIENT=${network.gateway}`, `INSECURE_REGISTRY=${REGISTRY}`],
      binds: [`${name}:/var/lib/docker`],
    });
    return describePlace(options, "machine", network, REGISTRY_OFFSET + number);
  });
  await container.start();
  await awaitEngine(connectMachine(describeMachine(await container.inspect())), container);
}

/** The registry's container, stopped or running; made if there is none. */
export function ensureRegistry(options: Docker.ContainerCreateOptions): Promise<Docker.Container> {
  return ensureContainer(REGISTRY_NAME, async (network) =>
    describePlace({ ...options, name: REGISTRY_NAME }, "registry", network, REGISTRY_OFFSET),
  );
}

/** A container with an address that stays, so that a Swarm finds it again. */
function describePlace(
  options: Docker.ContainerCreateOptions,
  part: Part,
  { subnet }: MachinesNetwork,
  offset: number,
): Docker.ContainerCreateOptions {
  const IPAMConfig = { IPv4Address: addressAt(parseCidr(subnet)!, offset) };
  return {
    ...options,
    Hostname: options.name,
    Labels: labelled(part),
    HostConfig: { ...options.HostConfig, NetworkMode: NETWORK },
    NetworkingConfig: { EndpointsConfig: { [NETWORK]: { IPAMConfig } } },
  };
}

/** The container of this name, which is made, with the volume of its name, if there is none. */
async function ensureContainer(
  name: string,
  describe: (network: MachinesNetwork) => Promise<Docker.ContainerCreateOptions>,
): Promise<Docker.Container> {
  const docker = connectDocker();
  const container = docker.getContainer(name);
  try {
    const { Config } = await container.inspect();
    requireOwn("container", name, Config.Labels);
    return container;
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  const network = await findNetwork();
  if (network === undefined) throw new Error(`there is no network ${NETWORK}`);
  await docker.createVolume({ Name: name, Labels: labelled("volume") });
  requireOwn("volume", name, (await docker.getVolume(name).inspect()).Labels);
  return docker.createContainer(await describe(network));
}

function requireOwn(kind: string, name: string, labels: object | null | undefined): void {
  if (LABEL in (labels ?? {})) return;
  throw new Error(`the ${kind} ${name} was not made by this command; rename it or remove it`);
}

/**
 * Removes all that was made for the machines.
 *
 * @returns what it removed, and last the images that a container of something else still uses
 */
export async function removeMachines(): Promise<{ removed: string[]; kept: string[] }> {
  const docker = connectDocker();
  const removed: string[] = [];
  const kept: string[] = [];
  const containers = await listContainers("machine", "registry");
  await Promise.all(containers.map(({ Id }) => removeContainer(docker.getContainer(Id))));
  removed.push(...containers.map(({ Names }) => `container ${Names[0].slice(1)}`));
  for (const { Id, Name } of await docker.listNetworks(ofMachines)) {
    await docker.getNetwork(Id).remove();
    removed.push(`network ${Name}`);
  }
  for (const { Name } of (await docker.listVolumes(ofMachines)).Volumes ?? []) {
    await docker.getVolume(Name).remove();
    removed.push(`volume ${Name}`);
  }
  for (const { Id, RepoTags } of await docker.listImages(ofMachines)) {
    const image = RepoTags?.[0] ?? Id;
    try {
      await docker.getImage(image).remove();
      removed.push(`image ${image}`);
    } catch (error) {
      if ((error as { statusCode?: number }).statusCode !== 409) throw error;
      kept.push(`image ${image}`);
    }
  }
  return { removed, kept };
}
