/** What of the engine belongs to a stack's lab. */
import type Docker from "dockerode";
import { HAND_LABEL, type Origin } from "../config/member";
import { ROLE_LABEL, STACK_LABEL, type Role } from "../config/topology";
import { addressOn, networksOf } from "../docker/address";
import { connectDocker } from "../docker/connect";
import { readServices, SERVICE_LABEL, type ServiceTasks } from "../docker/tasks";
import { sortNodes } from "../haproxy/render";
import {
  listImages,
  listServiceIds,
  readDeployment,
  type Deployment,
  type RecordedImage,
} from "./records";

/** One container of the lab, running or not. */
export interface LabContainer {
  id: string;
  /** Name in the lab. */
  name: string;
  containerName: string;
  role: Role;
  origin: Origin;
  /** Docker's word: running, exited, paused, … */
  state: string;
  /** Its address in the lab's network, which it keeps while it is stopped. */
  address: string;
  /** On a Swarm: host name of the engine that it is on. */
  engine?: string;
  /** Whether that is another engine than the one that is asked, so that no command can be run in it. */
  isElsewhere?: boolean;
}

/** What the engine has of one stack's lab. */
export interface Lab {
  stack: string;
  namePrefix: string;
  network: { name: string; subnet: string };
  /** The lab's own, in the order that a person counts them. */
  containers: LabContainer[];
  /** On a Swarm: the web nodes' image in the registry. */
  image?: string;
  /** Every address of the network that a container has, also one that is none of the lab's. */
  taken: string[];
}

/** The stack's lab, if there is one on this engine. */
export async function lookForLab(stack: string): Promise<Lab | undefined> {
  const docker = connectDocker();
  const deployment = readDeployment(stack);
  const [networks, containers, services] = await Promise.all([
    docker.listNetworks({ filters: { label: [`${STACK_LABEL}=${stack}`] } }),
    docker.listContainers({ all: true }),
    readServices(docker, listServiceIds(deployment)),
  ]);
  const lab = describeLab(stack, deployment, networks, containers);
  if (lab === undefined || services.length === 0) return lab;
  const tasks = services.flatMap((service) => describeTasks(service, lab));
  const image = listImages(deployment).find(({ name }) => name === "webapp")?.imageId;
  return { ...lab, image, containers: sortNodes([...tasks, ...lab.containers]) };
}

/** A service's tasks as the lab's containers: on a Swarm each is one, and a balancer is named after its engine. */
export function describeTasks(
  { name, isGlobal, tasks }: ServiceTasks,
  { namePrefix, network }: Pick<Lab, "namePrefix" | "network">,
): LabContainer[] {
  const inTheLab = name.slice(namePrefix.length);
  return tasks
    .filter(({ isWanted }) => isWanted)
    .map(({ container, state, addresses, engine, isHere }) => ({
      id: container,
      name: isGlobal ? `${inTheLab}-${engine}` : inTheLab,
      containerName: name,
      role: isGlobal ? "balancer" : "backend",
      origin: "pulumi",
      state,
      address: addresses[network.name] ?? "",
      engine,
      isElsewhere: !isHere,
    }));
}

/** Why a container is the lab's: its state records it, or on its network a person or an update that was cut off made it. */
export type Claim = "recorded" | "byHand" | "left";

/** Tells what is a stack's own. */
export interface Ownership {
  isOwnNetwork: (id: string) => boolean;
  /** Undefined for a container that is not the lab's. */
  claimOf: (container: Docker.ContainerInfo) => Claim | undefined;
}

/**
 * What of an engine is a stack's own goes by the ids that its state records. Labels and names alone
 * prove nothing: another checkout's lab may have the same.
 */
export function judgeOwnership(
  stack: string,
  { resources = [] }: Deployment,
  networks: Pick<Docker.NetworkInspectInfo, "Id" | "Name">[],
  containers: Docker.ContainerInfo[],
): Ownership {
  const ids = new Set(resources.map(({ id }) => id));
  const own = networks.filter(({ Id }) => ids.has(Id));
  return {
    isOwnNetwork: (id) => ids.has(id),
    claimOf(container) {
      const { Id, Labels } = container;
      const service = Labels[SERVICE_LABEL];
      if (ids.has(Id) || (service !== undefined && ids.has(service))) return "recorded";
      const isHere = own.some((network) => isOn(network, container, containers));
      if (!isHere || Labels[STACK_LABEL] !== stack) return undefined;
      return HAND_LABEL in Labels ? "byHand" : ROLE_LABEL in Labels ? "left" : undefined;
    },
  };
}

/**
 * Whether a container, running or not, is on a network. Before its first start it has the network's name
 * but not yet its id. One of two balancers is where the container is whose network it shares.
 */
export function isOn(
  { Id, Name }: Pick<Docker.NetworkInspectInfo, "Id" | "Name">,
  container: Docker.ContainerInfo,
  containers: Docker.ContainerInfo[],
): boolean {
  return ["", Id].includes(networksOf(container, containers)[Name]?.NetworkID);
}

/** Puts together what belongs to a lab: its containers on the network that its state records. */
export function describeLab(
  stack: string,
  deployment: Deployment,
  networks: Docker.NetworkInspectInfo[],
  containers: Docker.ContainerInfo[],
): Lab | undefined {
  const { resources = [] } = deployment;
  const { claimOf } = judgeOwnership(stack, deployment, networks, containers);
  const recorded = resources.find(({ id }) => networks.some(({ Id }) => Id === id));
  const network = networks.find(({ Id }) => Id === recorded?.id);
  if (recorded === undefined || network === undefined) return undefined;
  // On the engine everything is called by the prefix and its name in the lab.
  const inTheLab = recorded.urn.split("::").at(-1)!;
  const namePrefix = network.Name.slice(0, network.Name.length - inTheLab.length);
  const attached = containers
    .filter((container) => isOn(network, container, containers))
    .map((container) => ({
      container,
      address: addressOn(networksOf(container, containers)[network.Name]),
    }));
  return {
    stack,
    namePrefix,
    network: { name: network.Name, subnet: network.IPAM?.Config?.[0]?.Subnet ?? "" },
    containers: sortNodes(
      attached.flatMap(({ container, address }): LabContainer[] => {
        const { Id, Names, Labels, State } = container;
        if (claimOf(container) === undefined || SERVICE_LABEL in Labels) return [];
        const [hand, role] = [Labels[HAND_LABEL], Labels[ROLE_LABEL]];
        const containerName = Names[0]?.slice(1) ?? Id;
        return [
          {
            id: Id,
            name: hand ?? containerName.slice(namePrefix.length),
            containerName,
            role: role === "balancer" || role === "front" ? role : "backend",
            origin: hand === undefined ? "pulumi" : "hand",
            state: State,
            address,
          },
        ];
      }),
    ),
    taken: attached.map(({ address }) => address).filter((address) => address !== ""),
  };
}

/**
 * The images that go with a lab that is gone: those that its states record by their ids. A tag stays
 * while a network of its prefix is there, which is another checkout's then; an image with a tag of
 * somebody else's content stays with that.
 *
 * @param networks names of the networks that there are
 * @returns tags, and the ids of images without any
 */
export function chooseImages(
  recorded: RecordedImage[],
  images: { Id: string; RepoTags?: string[] }[],
  networks: string[],
): string[] {
  const ids = new Set(recorded.map(({ imageId }) => imageId));
  const free = new Set(
    recorded
      .map(({ tag }) => tag)
      .filter((tag) => !networks.includes(tag.replace(/lab-\w+:.*$/, "heig"))),
  );
  const own = images.filter(({ Id }) => ids.has(Id));
  return own.flatMap(({ Id, RepoTags }) => {
    const tags = (RepoTags ?? []).filter((tag) => tag !== "<none>:<none>");
    return tags.length === 0 ? [Id] : tags.filter((tag) => free.has(tag));
  });
}
