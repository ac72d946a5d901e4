import type Docker from "dockerode";
import { ResourceType } from "../pluginServer";
import { immutable } from "./immutable";
import { LABELS, Label, Properties, Values, fromLabelMap, toLabelMap } from "./properties";

export interface SecretInputs extends Values {
  name: string;
  /** In base64, as the engine takes it. */
  data: string;
  labels?: Label[];
}

export const SECRET: Properties = {
  name: { shape: "string", required: true },
  data: { shape: "base64", required: true, secret: true },
  labels: { shape: LABELS },
};

interface SecretInfo {
  ID: string;
  /** The engine shows the data of a config, that of a secret never. */
  Spec: { Name: string; Labels?: Record<string, string>; Data?: string };
}

/** Secrets of a Swarm. */
export function secret(connect: () => Docker): ResourceType<SecretInputs, Values> {
  return immutable(connect, {
    name: "secret",
    properties: SECRET,
    outputs: [],
    create: async (docker, inputs) =>
      ((await docker.createSecret(toSpec(inputs))) as Docker.Secret).id,
    inspect: async (docker, id, inputs) => ({
      // Lets the official plugin take the state over.
      __meta: '{"schema_version":"1"}',
      ...toState((await docker.getSecret(id).inspect()) as SecretInfo),
      data: inputs.data,
    }),
    remove: (docker, id) => docker.getSecret(id).remove(),
  });
}

/** Configs of a Swarm; like secrets, but what is in them can be read. */
export function serviceConfig(connect: () => Docker): ResourceType<SecretInputs, Values> {
  return immutable(connect, {
    name: "config",
    properties: SECRET,
    outputs: [],
    create: async (docker, inputs) =>
      ((await docker.createConfig(toSpec(inputs))) as Docker.Config).id,
    inspect: async (docker, id) => ({
      ...toState((await docker.getConfig(id).inspect()) as SecretInfo),
      dataRaw: null,
    }),
    remove: (docker, id) => docker.getConfig(id).remove(),
  });
}

function toSpec({ name, data, labels }: SecretInputs) {
  return { Name: name, Labels: toLabelMap(labels), Data: data };
}

function toState({ ID, Spec }: SecretInfo): Values {
  return { id: ID, name: Spec.Name, data: Spec.Data, labels: fromLabelMap(Spec.Labels) };
}
