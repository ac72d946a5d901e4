import { randomBytes } from "node:crypto";
import { secret, UNKNOWN, type ResourceType } from "../pluginServer";

/** Serf takes keys of 16, 24 or 32 bytes: AES-128, -192 or -256. */
const KEY_BYTES = 32;

/** The key of the gossip of one lab: made at creation, kept in the state as a secret. */
export const gossipKey: ResourceType<object, { key: unknown }> = {
  async check() {
    return { inputs: {}, failures: [] };
  },

  async diff() {
    return { changes: false, detailed: {} };
  },

  async create(_inputs, { name, preview }) {
    const key = preview ? UNKNOWN : randomBytes(KEY_BYTES).toString("base64");
    return { id: name, state: { key: secret(key) } };
  },

  async read(id, state) {
    if (state === undefined) throw new Error("a gossip key cannot be imported: declare it");
    return { id, inputs: {}, state: { key: secret(state.key) } };
  },

  async update(_id, state) {
    return { key: secret(state.key) };
  },

  async delete() {},
};
