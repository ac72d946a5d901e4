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

export interface VolumeInputs extends Values {
  name: string;
  labels?: Label[];
}

const VOLUME: Properties = {
  name: { shape: "string", required: true },
  labels: { shape: LABELS },
};

/** Named volumes; every change replaces. */
export function volume(connect: () => Docker): ResourceType<VolumeInputs, Values> {
  return {
    check(news) {
      return checkInputs(VOLUME, news) as { inputs: VolumeInputs; failures: [] };
    },

    diff(_id, state, _olds, news) {
      return {
        ...diffProperties(VOLUME, state, news),
        // The engine would hand out the existing volume under the same name.
        deleteBeforeReplace: state.name === news.name,
      };
    },

    async create(inputs, { preview }) {
      if (preview) return { id: "", state: planState(inputs, ["mountpoint"]) };
      await connect()
        .createVolume({
          Name: inputs.name,
          Labels: toLabelMap(inputs.labels),
        })
        .catch((error: Error) => {
          throw new Error(`Unable to create volume: ${error.message}`);
        });
      return {
        id: inputs.name,
        state: toVolumeState(await connect().getVolume(inputs.name).inspect()),
      };
    },

    async read(id, _state, inputs) {
      try {
        const state = toVolumeState(await connect().getVolume(id).inspect());
        return { id, inputs: readInputs(VOLUME, inputs, state) as VolumeInputs, state };
      } catch (error) {
        if (isNotFound(error)) return undefined;
        throw error;
      }
    },

    update(id) {
      throw new Error(`volume ${id} can't be changed in place`);
    },

    async delete(id) {
      await connect()
        .getVolume(id)
        .remove({ force: true })
        .catch((error: Error) => {
          if (!isNotFound(error)) throw new Error(`Unable to remove volume: ${error.message}`);
        });
    },
  };
}

/** What the engine says, in the program's words. */
function toVolumeState(info: Docker.VolumeInspectInfo): Values {
  return {
    // Lets the official plugin take the state over.
    __meta: '{"schema_version":"1"}',
    id: info.Name,
    name: info.Name,
    cluster: null,
    driver: info.Driver,
    driverOpts: info.Options ?? null,
    labels: fromLabelMap(info.Labels),
    mountpoint: info.Mountpoint,
  };
}
