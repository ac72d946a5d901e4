import type Docker from "dockerode";
import { isNotFound } from "../../docker/engine";
import { ResourceType } from "../pluginServer";
import {
  LABELS,
  Label,
  Properties,
  Values,
  checkInputs,
  diffProperties,
  fromLabelMap,
  planState,
  readInputs,
  toLabelMap,
} from "./properties";

export interface NetworkInputs extends Values {
  name: string;
  driver?: string;
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

/** Docker networks; every change replaces. */
export function network(connect: () => Docker): ResourceType<NetworkInputs, Values> {
  const inspect = async (id: string) => toNetworkState(await connect().getNetwork(id).inspect());
  return {
    check(news) {
      return checkInputs(NETWORK, news) as { inputs: NetworkInputs; failures: [] };
    },

    diff(_id, state, _olds, news) {
      return {
        ...diffProperties(NETWORK, state, news),
        // Two networks can't have one name, so that the old one has to go first.
        deleteBeforeReplace: state.name === news.name,
      };
    },

    async create(inputs, { preview }) {
      if (preview) return { id: "", state: planState(inputs, ["scope"]) };
      const { id } = await connect()
        .createNetwork(toNetworkOptions(inputs))
        .catch((error: Error) => {
          throw new Error(`Unable to create network: ${error.message}`);
        });
      return { id, state: await inspect(id) };
    },

    async read(id, _state, inputs) {
      try {
        const state = await inspect(id);
        return {
          id: state.id as string,
          inputs: readInputs(NETWORK, inputs, state) as NetworkInputs,
          state,
        };
      } catch (error) {
        if (isNotFound(error)) return undefined;
        throw error;
      }
    },

    update(id) {
      throw new Error(`network ${id} can't be changed in place`);
    },

    async delete(id) {
      await connect()
        .getNetwork(id)
        .remove()
        .catch((error: Error) => {
          if (!isNotFound(error)) throw new Error(`Unable to remove network: ${error.message}`);
        });
    },
  };
}

/** What to ask the engine for. */
export function toNetworkOptions(inputs: NetworkInputs): Docker.NetworkCreateOptions {
  return {
    Name: inputs.name,
    CheckDuplicate: true,
    Driver: inputs.driver,
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
