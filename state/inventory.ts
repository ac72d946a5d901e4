/** What of the engine belongs to a stack's lab. */
import type Docker from "dockerode";
import { HAND_LABEL, type Origin } from "../config/member";
import { ROLE_LABEL, STACK_LABEL } from "../config/topology";
import { addressOn } from "../docker/address";
import { connectEngine } from "../docker/engine";
import { sortNodes } from "../haproxy/render";
import { readDeployment, type Deployment, type RecordedImage } from "./records";

/** One container of the lab, running or not. */
export interface LabContainer {
  id: string;
  /** Name in the lab. */
  name: string;
  containerName: string;
  role: "balancer" | "backend";
  origin: Origin;
  /** Docker's word: running, exited, paused, … */
  state: string;
  /** Its address in the lab's network, which it keeps while it is stopped. */
  address: string;
}

/** What the engine has of one stack's lab. */
export interface Lab {
  stack: string;
  namePrefix: string;
  network: { name: string; subnet: string };
  /** The lab's own, in the order that a person counts them. */
  containers: LabContainer[];
  /** Every address of the network that a container has, also one that is none of the lab's. */
  taken: string[];
}

/** The stack's lab, if there is one on this engine. */
export async function lookForLab(stack: string): Promise<Lab | undefined> {
  const engine = connectEngine();
  const deployment = readDeployment(stack);
  const [networks, containers] = await Promise.all([
    engine.listNetworks({ filters: { label: [`${STACK_LABEL}=${stack}`] } }),
    engine.listContainers({ all: true }),
  ]);
  return describeLab(stack, deployment, networks, containers);
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
): Ownership {
  const ids = new Set(resources.map(({ id }) => id));
  const own = networks.filter(({ Id }) => ids.has(Id));
  return {
    isOwnNetwork: (id) => ids.has(id),
    claimOf({ Id, Labels, NetworkSettings }) {
      if (ids.has(Id)) return "recorded";
      const isHere = own.some((network) => isOn(network, NetworkSettings.Networks[network.Name]));
      if (!isHere || Labels[STACK_LABEL] !== stack) return undefined;
      return HAND_LABEL in Labels ? "byHand" : ROLE_LABEL in Labels ? "left" : undefined;
    },
  };
}

/** Before its first start a container has the network's name but not yet its id. */
function isOn({ Id }: { Id: string }, endpoint?: { NetworkID: string }): boolean {
  return endpoint !== undefined && ["", Id].includes(endpoint.NetworkID);
}

/** Puts together what belongs to a lab: its containers on the network that its state records. */
export function describeLab(
  stack: string,
  deployment: Deployment,
  networks: Docker.NetworkInspectInfo[],
  containers: Docker.ContainerInfo[],
): Lab | undefined {
  const { resources = [] } = deployment;
  const { claimOf } = judgeOwnership(stack, deployment, networks);
  const recorded = resources.find(({ id }) => networks.some(({ Id }) => Id === id));
  const network = networks.find(({ Id }) => Id === recorded?.id);
  if (recorded === undefined || network === undefined) return undefined;
  // On the engine everything is called by the prefix and its name in the lab.
  const inTheLab = recorded.urn.split("::").at(-1)!;
  const namePrefix = network.Name.slice(0, network.Name.length - inTheLab.length);
  const attached = containers.flatMap((container) => {
    const endpoint = container.NetworkSettings.Networks[network.Name];
    return isOn(network, endpoint) ? [{ container, address: addressOn(endpoint) }] : [];
  });
  return {
    stack,
    namePrefix,
    network: { name: network.Name, subnet: network.IPAM?.Config?.[0]?.Subnet ?? "" },
    containers: sortNodes(
      attached.flatMap(({ container, address }): LabContainer[] => {
        if (claimOf(container) === undefined) return [];
        const { Id, Names, Labels, State } = container;
        const [hand, role] = [Labels[HAND_LABEL], Labels[ROLE_LABEL]];
        const containerName = Names[0]?.slice(1) ?? Id;
        return [
          {
            id: Id,
            name: hand ?? containerName.slice(namePrefix.length),
            containerName,
            role: role === "balancer" ? role : "backend",
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
