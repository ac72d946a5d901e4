import type Docker from "dockerode";
import { ResourceType } from "../pluginServer";
import { immutable } from "./immutable";
import { LABELS, Label, Properties, Values, fromLabelMap, toLabelMap } from "./properties";

export interface VolumeInputs extends Values {
  name: string;
  labels?: Label[];
}

const VOLUME: Properties = {
  name: { shape: "string", required: true },
  labels: { shape: LABELS },
};

/** Named volumes. */
export function volume(connect: () => Docker): ResourceType<VolumeInputs, Values> {
  return immutable(connect, {
    name: "volume",
    properties: VOLUME,
    outputs: ["mountpoint"],
    async create(docker, { name, labels }) {
      await docker.createVolume({ Name: name, Labels: toLabelMap(labels) });
      return name;
    },
    inspect: async (docker, id) => toVolumeState(await docker.getVolume(id).inspect()),
    remove: (docker, id) => docker.getVolume(id).remove({ force: true }),
  });
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
