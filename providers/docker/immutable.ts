import type Docker from "dockerode";
import { isNotFound } from "../../docker/connect";
import { ResourceType } from "../pluginServer";
import {
  Properties,
  Values,
  checkInputs,
  diffProperties,
  planState,
  readInputs,
} from "./properties";

/** How the engine is asked for one kind of what it can't change. */
export interface Kind<Inputs extends Values> {
  /** What an error calls it. */
  name: string;
  properties: Properties;
  /** Outputs that only the engine knows, unknown in a preview of a new one. */
  outputs: string[];
  /** Gives its id. */
  create(docker: Docker, inputs: Inputs): Promise<string>;
  /** Gives its state; what can't be read back is taken from the inputs. */
  inspect(docker: Docker, id: string, inputs: Values): Promise<Values>;
  remove(docker: Docker, id: string): Promise<unknown>;
}

/** Networks, volumes, secrets, configs; every change replaces. */
export function immutable<Inputs extends Values>(
  connect: () => Docker,
  kind: Kind<Inputs>,
): ResourceType<Inputs, Values> {
  const fail = (what: string) => (error: Error) => {
    throw new Error(`Unable to ${what} ${kind.name}: ${error.message}`);
  };
  return {
    check(news) {
      return checkInputs(kind.properties, news) as { inputs: Inputs; failures: [] };
    },

    diff(_id, state, _olds, news) {
      return {
        ...diffProperties(kind.properties, state, news),
        // Two can't have one name, so that the old one has to go first.
        deleteBeforeReplace: state.name === news.name,
      };
    },

    async create(inputs, { preview }) {
      if (preview) return { id: "", state: planState(inputs, kind.outputs) };
      const id = await kind.create(connect(), inputs).catch(fail("create"));
      return { id, state: await kind.inspect(connect(), id, inputs) };
    },

    async read(id, state, inputs) {
      try {
        const found = await kind.inspect(connect(), id, inputs ?? state ?? {});
        return {
          id: found.id as string,
          inputs: readInputs(kind.properties, inputs, found) as Inputs,
          state: found,
        };
      } catch (error) {
        if (isNotFound(error)) return undefined;
        throw error;
      }
    },

    update(id) {
      throw new Error(`${kind.name} ${id} can't be changed in place`);
    },

    async delete(id) {
      await kind.remove(connect(), id).catch((error: Error) => {
        if (!isNotFound(error)) fail("remove")(error);
      });
    },
  };
}
