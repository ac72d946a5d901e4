import type { Context, DiffKind, ResourceType } from "../pluginServer";

/** By node name, what tells one run of it from another, such as its container's id. */
type Runs = Record<string, string>;

/** The nodes that run as something else than before; those that come or go are none. */
export function listReplaced(olds: Runs, news: Runs): string[] {
  return Object.keys(news).filter((name) => {
    const before = olds[name];
    return before !== undefined && before !== news[name];
  });
}

/** The same as a diff of the property that has them. */
export const diffRuns = (property: string, olds: Runs, news: Runs): Record<string, DiffKind> =>
  Object.fromEntries(listReplaced(olds, news).map((name) => [`${property}.${name}`, "update"]));

/**
 * A resource that is nothing but a wait for replaced nodes.
 *
 * @param property has the nodes' runs
 * @param wait ends when the named nodes serve
 */
export function createGate<Key extends string, Properties extends Record<Key, Runs>>(
  property: Key,
  wait: (news: Properties, names: string[], context: Context) => Promise<void>,
): ResourceType<Properties, Properties> {
  return {
    async check(news) {
      return { inputs: news, failures: [] };
    },

    /** Against the last inputs: nodes that come or go are recorded without an operation. */
    async diff(_id, _state, olds, news) {
      const detailed = diffRuns(property, olds[property], news[property]);
      return { changes: Object.keys(detailed).length > 0, detailed };
    },

    async create(inputs, { name }) {
      return { id: name, state: inputs };
    },

    async read(id, state, inputs) {
      if (state === undefined) throw new Error("readiness cannot be imported: declare it");
      return { id, inputs: inputs ?? state, state };
    },

    async update(_id, _state, olds, news, context) {
      if (!context.preview) await wait(news, listReplaced(olds[property], news[property]), context);
      return news;
    },

    async delete() {},
  };
}
