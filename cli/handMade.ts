/** What `npm run node` decides, as functions on plain data. */
import type Docker from "dockerode";
import { dockersRange, parseSubnet } from "../config/addressPlan";
import { aliasesOf, describeMember, STOP_SECONDS } from "../config/member";
import { addressAt, parseCidr, type Subnet } from "../config/subnet";
import { BALANCER_NAMES, imageNames, STACK_LABEL } from "../config/topology";
import { isServing, type ClusterView } from "../configurator/protocol/control";
import { NODE_NAME } from "../haproxy/render";
import type { Lab, LabContainer } from "../state/inventory";
import { UsageError } from "./command";

/** A node to add. */
export interface Addition {
  name: string;
  /** Name on the engine. */
  containerName: string;
  /** Empty where Docker gives it one, as on a Swarm. */
  address: string;
}

/**
 * Gives a new node its container's name and an address.
 *
 * @throws UsageError for what is no name, Error that says why it is not to be had, or that no address is
 */
export function decideAddition(name: string, lab: Lab, cluster: ClusterView): Addition {
  const { stack, namePrefix, containers } = lab;
  if (!NODE_NAME.test(name)) {
    const allowed = "1 to 63 of a-z 0-9 and, inside, -";
    throw new UsageError(`node name: got ${JSON.stringify(name)}, expected ${allowed}`);
  }
  const declared = cluster.declared.map((node) => node.name);
  if (declared.includes(name)) {
    throw new Error(
      `${name} is declared already (${summarize(declared)}); nodeCount says how many there are, ` +
        "a node added by hand needs another name",
    );
  }
  if (BALANCER_NAMES.includes(name)) throw new Error(`${name} is a balancer's name`);
  const holder = containers.find((container) => container.name === name);
  if (holder !== undefined) {
    const { containerName, state } = holder;
    const isHere = `${name} exists already: its container ${containerName} is ${state}`;
    const start = state === "exited" ? `start it with: docker start ${containerName}, or ` : "";
    throw new Error(
      `${isHere}; ${start}remove it with: npm run node -- remove ${name} --stack ${stack}`,
    );
  }
  return {
    name,
    containerName: `${namePrefix}${name}`,
    address: lab.image === undefined ? chooseAddress(name, lab, cluster) : "",
  };
}

function summarize(names: string[]): string {
  return names.length > 2 ? `${names[0]} to ${names.at(-1)}` : names.join(", ");
}

/**
 * From the top of Docker's range down: its own allocation goes from below. An address that gossip
 * still knows as another node's comes last.
 */
function chooseAddress(
  name: string,
  { stack, network, taken }: Lab,
  { members = [] }: ClusterView,
): string {
  const range = rangeOf(network.subnet);
  // The last address of a network is its broadcast address.
  const all = Array.from({ length: range.size - 1 }, (_, i) =>
    addressAt(range, range.size - 2 - i),
  );
  const remembered = new Set(
    members.filter((member) => member.name !== name).map(({ address }) => address),
  );
  const free = all.filter((address) => !taken.includes(address));
  const address = free.find((it) => !remembered.has(it)) ?? free[0];
  if (address !== undefined) return address;
  throw new Error(
    `none of the ${all.length} addresses in ${range.toString()} for nodes added by hand is free; ` +
      `see who has them with: npm run node -- list --stack ${stack}`,
  );
}

/** The range for nodes added by hand. */
function rangeOf(cidr: string): Subnet {
  const subnet = parseSubnet(cidr);
  if (typeof subnet === "string")
    throw new Error(`the lab's network has ${cidr}; a lab's is ${subnet}`);
  return parseCidr(dockersRange(subnet))!;
}

const MEBIBYTE = 1024 * 1024;

/** The container of a node added by hand: made of the same as a declared one, but no host port. */
export function describeContainer(
  { name, containerName, address }: Addition,
  { stack, namePrefix, network, image }: Lab,
): Docker.ContainerCreateOptions {
  const label = { label: STACK_LABEL, value: stack };
  const member = describeMember({ name, role: "backend" }, label, "hand");
  return {
    name: containerName,
    Image: image ?? imageNames({ namePrefix, stack }).webapp,
    Hostname: name,
    Env: member.envs,
    Labels: Object.fromEntries(member.labels.map(({ label, value }) => [label, value])),
    StopTimeout: STOP_SECONDS,
    HostConfig: {
      NetworkMode: network.name,
      RestartPolicy: { Name: member.restart },
      CapDrop: member.capabilities.drops,
      CapAdd: member.capabilities.adds,
      SecurityOpt: member.securityOpts,
      Memory: member.memory * MEBIBYTE,
      MemorySwap: member.memorySwap * MEBIBYTE,
      LogConfig: { Type: member.logDriver, Config: member.logOpts },
    },
    NetworkingConfig: {
      EndpointsConfig: {
        [network.name]: {
          ...(address && { IPAMConfig: { IPv4Address: address } }),
          Aliases: aliasesOf(name),
        },
      },
    },
  };
}

/** Whether the balancer sends requests to a node, because its own health check has passed. */
export function serves({ servers = [] }: ClusterView, { name, address }: Addition): boolean {
  return servers.some(
    (server) => server.name === name && server.address === address && isServing(server),
  );
}

/**
 * The container of a node that was added by hand.
 *
 * @throws Error for any other name, saying what to do instead
 */
export function chooseRemoval(name: string, { stack, containers }: Lab): LabContainer {
  const container = containers.find((it) => it.name === name);
  if (container?.origin === "hand") return container;
  if (BALANCER_NAMES.includes(name)) throw new Error(`${name} is a balancer`);
  if (container !== undefined) {
    const declared = containers.filter(
      ({ role, origin }) => role === "backend" && origin !== "hand",
    );
    const fewer = Math.max(1, declared.length - 1);
    throw new Error(
      `${name} was not added by hand but is declared; for fewer nodes run: ` +
        `npx pulumi config set nodeCount ${fewer} --stack ${stack} && npx pulumi up --stack ${stack}`,
    );
  }
  const byHand = containers.filter(({ origin }) => origin === "hand").map((it) => it.name);
  const there = byHand.join(", ") || "none";
  throw new UsageError(`there is no node ${name} added by hand; there is: ${there}`);
}
