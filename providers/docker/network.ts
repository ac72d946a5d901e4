import type Docker from "dockerode";
import { isNotFound } from "../../docker/connect";
import { poll } from "../../time/poll";
import { ResourceType } from "../pluginServer";
import { immutable } from "./immutable";
import { LABELS, Label, Properties, Values, fromLabelMap, toLabelMap } from "./properties";

export interface NetworkInputs extends Values {
  name: string;
  driver?: string;
  attachable?: boolean;
  ipamDriver: string;
  ipamConfigs?: IpamConfig[];
  labels?: Label[];
}

interface IpamConfig {
  subnet?: string;
  gateway?: string;
  ipRange?: string;
}

export const NETWORK: Properties = {
  name: { shape: "string", required: true },
  driver: { shape: "string", computed: true },
  attachable: { shape: "boolean" },
  ipamDriver: { shape: "string", default: "default" },
  ipamConfigs: {
    shape: {
      set: {
        object: {
          subnet: { shape: "string" },
          gateway: { shape: "string" },
          ipRange: { shape: "string" },
        },
      },
    },
    computed: true,
  },
  labels: { shape: LABELS },
};

/** Docker networks. */
export function network(connect: () => Docker): ResourceType<NetworkInputs, Values> {
  return immutable(connect, {
    name: "network",
    properties: NETWORK,
    outputs: ["scope"],
    create: async (docker, inputs) => (await docker.createNetwork(toNetworkOptions(inputs))).id,
    inspect: async (docker, id) => toNetworkState(await inspectAllocated(docker.getNetwork(id))),
    remove: (docker, id) => removeWhole(docker.getNetwork(id)),
  });
}

/**
 * A Swarm says at once that an overlay is removed. Until the last task in it has ended the engine has it all the same, and
 * refuses another network of its name.
 */
async function removeWhole(network: Docker.Network): Promise<void> {
  await network.remove();
  const look = () =>
    network.inspect().then(
      () => "there",
      (error: Error) => (isNotFound(error) ? "gone" : Promise.reject(error)),
    );
  await poll(look, (seen) => seen === "gone", { everyMs: 100, withinMs: 30_000 });
}

/** A Swarm gives an overlay its subnet and number when the network is there already. */
function inspectAllocated(network: Docker.Network): Promise<Docker.NetworkInspectInfo> {
  return poll(
    () => network.inspect(),
    ({ Driver, Options }) => Driver !== "overlay" || Object.keys(Options ?? {}).length > 0,
    { everyMs: 100, withinMs: 5000 },
  );
}

/** What to ask the engine for. */
export function toNetworkOptions(inputs: NetworkInputs): Docker.NetworkCreateOptions {
  return {
    Name: inputs.name,
    CheckDuplicate: true,
    Driver: inputs.driver,
    Attachable: inputs.attachable,
    IPAM: {
      Driver: inputs.ipamDriver,
      Config: inputs.ipamConfigs?.map((config) => ({
        Subnet: config.subnet,
        Gateway: config.gateway,
        IPRange: config.ipRange,
      })),
    },
    Labels: toLabelMap(inputs.labels),
  };
}

/** What the engine says, in the program's words. */
function toNetworkState(info: Docker.NetworkInspectInfo): Values {
  return {
    // Lets the official plugin take the state over.
    __meta: '{"schema_version":"1"}',
    id: info.Id,
    name: info.Name,
    driver: info.Driver,
    scope: info.Scope,
    internal: info.Internal,
    attachable: info.Attachable,
    ingress: info.Ingress,
    ipv6: info.EnableIPv6,
    ipamDriver: info.IPAM?.Driver,
    ipamOptions: null,
    ipamConfigs: (info.IPAM?.Config ?? []).map((config) => ({
      subnet: config.Subnet ?? "",
      gateway: config.Gateway ?? "",
      ipRange: config.IPRange ?? "",
      auxAddress: config.AuxiliaryAddresses ?? null,
    })),
    options: info.Options ?? {},
    labels: fromLabelMap(info.Labels),
  };
}
