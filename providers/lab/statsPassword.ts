import { hash } from "bcryptjs";
import { secret, UNKNOWN, type DiffKind, type ResourceType } from "../pluginServer";

/**
 * 2^6 rounds, some 5 ms: HAProxy checks the password on each request, and all that the same thread
 * balances waits meanwhile.
 */
const COST = 6;

export interface StatsPasswordInputs {
  /** 8 to 72 printable ASCII characters. */
  password: string;
}

export interface StatsPasswordState {
  password: unknown;
  hash: unknown;
}

/** The statistics' password and its hash, with a salt by chance: another password has another. */
export const statsPassword: ResourceType<StatsPasswordInputs, StatsPasswordState> = {
  async check(news) {
    return { inputs: news, failures: [] };
  },

  async diff(_id, state, _olds, news) {
    const detailed: Record<string, DiffKind> =
      news.password === state.password ? {} : { password: "update" };
    return { changes: Object.keys(detailed).length > 0, detailed };
  },

  async create(inputs, { name, preview }) {
    return { id: name, state: await hashed(inputs, preview) };
  },

  async read(id, state, inputs) {
    if (state === undefined || inputs === undefined) {
      throw new Error("a password cannot be imported: declare it");
    }
    return { id, inputs, state: { password: secret(state.password), hash: secret(state.hash) } };
  },

  update(_id, _state, _olds, news, { preview }) {
    return hashed(news, preview);
  },

  async delete() {},
};

async function hashed({ password }: StatsPasswordInputs, preview: boolean) {
  const made = preview ? UNKNOWN : await hash(password, COST);
  return { password: secret(password), hash: secret(made) };
}
