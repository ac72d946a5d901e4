import { connectDocker } from "../../docker/connect";
import { removeContainer } from "../../docker/remove";
import type { DiffKind, ResourceType } from "../pluginServer";

/** Inputs and state alike. */
export interface HandMadeNodesProperties {
  /** Id of the network that the nodes are on. */
  network: string;
  /** Key of the label that they bear. */
  label: string;
}

/** Stands for the nodes added by hand; only its end does something, see components/gossip.ts. */
export const handMadeNodes: ResourceType<HandMadeNodesProperties, HandMadeNodesProperties> = {
  async check(news) {
    return { inputs: news, failures: [] };
  },

  async diff(_id, state, _olds, news) {
    const detailed: Record<string, DiffKind> = {};
    if (news.network !== state.network) detailed.network = "update-replace";
    if (news.label !== state.label) detailed.label = "update";
    return { changes: Object.keys(detailed).length > 0, detailed, deleteBeforeReplace: true };
  },

  async create(inputs, { name }) {
    return { id: name, state: inputs };
  },

  async read(id, state, inputs) {
    if (state === undefined) throw new Error("nodes added by hand cannot be imported");
    return { id, inputs: inputs ?? state, state };
  },

  async update(_id, _state, _olds, news) {
    return news;
  },

  async delete(_id, { network, label }, { log }) {
    const docker = connectDocker();
    const filters = { label: [label], network: [network] };
    const found = await docker.listContainers({ all: true, filters });
    await Promise.all(
      found.map(async ({ Id, Names }) => {
        await removeContainer(docker.getContainer(Id));
        log("info", `removed ${Names[0].slice(1)}, which was added by hand`);
      }),
    );
  },
};
