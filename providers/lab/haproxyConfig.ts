import type { ConfigStatus } from "../../configurator/protocol/control";
import { revisionOf, type Declaration } from "../../configurator/protocol/declaration";
import { isNotFound } from "../../docker/connect";
import { isUnknown, type Context, type DiffKind, type ResourceType } from "../pluginServer";
import { ask, askUntilDone, nameById } from "./balancer";

/** Inputs and state alike: what was declared, and to which container. */
export interface HaproxyConfigProperties {
  /** Id of the balancer's container. A new container is an update: it gets its files again. */
  container: string;
  /** The rendered haproxy.cfg of the declared nodes: the thing to read in a diff. */
  text: string;
  /** Container id of each node. A node in a new container has to prove anew that it serves. */
  backends: Record<string, string>;
  /** bcrypt hash of the statistics' password; absent when they ask for none. The Pulumi engine hides it. */
  statsPasswordHash?: string;
  /**
   * What the configurator is told. All that shows of it is in `text`; the two underscores are
   * Pulumi's mark for a property that is kept but not displayed, so a diff says it once.
   */
  __declaration: Declaration;
}

/** What is there. */
export interface HaproxyConfigState extends HaproxyConfigProperties {
  /** What a refresh found changed beside the file, a line each; absent when nothing was. */
  runtime?: string[];
}

/** haproxy.cfg in the running balancer, pushed by `docker exec` into its configurator. */
export const haproxyConfig: ResourceType<HaproxyConfigProperties, HaproxyConfigState> = {
  async check(news) {
    return { inputs: news, failures: [] };
  },

  async diff(_id, state, _olds, news) {
    const detailed: Record<string, DiffKind> = {};
    if (news.container !== state.container) detailed.container = "update";
    if (news.text !== state.text) detailed.text = "update";
    const [before, now] = [state.statsPasswordHash, news.statsPasswordHash];
    if (before !== now) {
      detailed.statsPasswordHash = !before ? "add" : now ? "update" : "delete";
    }
    if (state.runtime !== undefined) detailed.runtime = "delete";
    // A node that comes or goes shows in the text already.
    for (const [name, id] of Object.entries(news.backends)) {
      const before = state.backends[name];
      if (before !== undefined && before !== id) detailed[`backends.${name}`] = "update";
    }
    const told = revisionOf(news.__declaration) !== revisionOf(state.__declaration);
    return { changes: told || Object.keys(detailed).length > 0, detailed };
  },

  async create(inputs, context) {
    if (!context.preview) await push(inputs, context);
    return { id: context.name, state: inputs };
  },

  async update(_id, _state, _olds, news, context) {
    if (!context.preview) await push(news, context);
    return news;
  },

  async read(id, state, _inputs, context) {
    if (state === undefined) throw new Error("a haproxy.cfg cannot be imported: declare it");
    const status = await readStatus(state.container, context);
    if (status === "gone") return undefined;
    if (status === "stopped") return { id, inputs: state, state };
    const now = compare(state, status);
    return { id, inputs: now, state: now };
  },

  /** The file goes with its container. */
  async delete() {},
};

/**
 * What a refresh records: the text of the declared nodes that are in while the live file is what the
 * configurator makes of its nodes, and the live text otherwise, so a declared node that is out is drift,
 * and so is an edit by hand; and what changed beside the file.
 */
export function compare(
  state: HaproxyConfigState,
  { declared, expected, live, runtime }: ConfigStatus,
): HaproxyConfigState {
  const text = (live === expected ? declared : live) ?? "";
  return { ...state, text, runtime: runtime?.length ? runtime : undefined };
}

/**
 * Pushes the declaration and waits until every declared node serves.
 *
 * @throws Error when the balancer refuses the declaration, is gone, or the time is over
 */
async function push(inputs: HaproxyConfigProperties, context: Context): Promise<void> {
  const { container, __declaration: declaration, backends: containers, statsPasswordHash } = inputs;
  const members = { [container]: "ha", ...nameById(containers) };
  const request = { do: "push", declaration, containers, statsPasswordHash } as const;
  await askUntilDone(context, members, (deadlineMs, ask) =>
    ask(container, { ...request, deadlineMs }).catch((error: Error) => {
      if (!isNotFound(error)) throw error;
      throw new Error("the balancer's container is gone; make it again with: pulumi up --refresh");
    }),
  );
}

async function readStatus(
  container: string,
  context: Context,
): Promise<ConfigStatus | "gone" | "stopped"> {
  if (isUnknown(container)) return "gone";
  try {
    const outcome = await ask(container, { do: "status" }, context);
    if ("refused" in outcome) throw new Error(outcome.refused);
    return "done" in outcome && outcome.status ? outcome.status : "stopped";
  } catch (error) {
    if (isNotFound(error)) return "gone";
    throw error;
  }
}
