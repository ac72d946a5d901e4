/** A plugin for dockerProviderServer.test.ts: what its resource does, its inputs say. */
import { PartialFailure, ResourceType, secret, serve } from "../../providers/pluginServer";

interface Inputs {
  fail?: "cleanly" | "partly";
  hang?: boolean;
  value?: unknown;
}

const thing: ResourceType<Inputs, object> = {
  check(news) {
    const failures = news.value === 0 ? [{ property: "value", reason: "must not be 0" }] : [];
    return { inputs: { ...news, value: news.value ?? "default" }, failures };
  },
  diff(_id, _state, olds, news) {
    return {
      changes: olds.value !== news.value,
      detailed: { "value[0].a": "update-replace", other: "add" },
      deleteBeforeReplace: true,
    };
  },
  async create(inputs, { name, preview, timeoutSeconds, signal, log }) {
    if (inputs.fail === "cleanly") throw new Error("no luck");
    if (inputs.fail === "partly") throw new PartialFailure("half done", "the-id", { half: true });
    if (inputs.hang) {
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      throw new Error("taken back");
    }
    log("warning", "made it", true);
    const state = { name, preview, timeoutSeconds, left: undefined, hidden: secret(inputs.value) };
    return { id: "the-id", state };
  },
  read(id, state, inputs) {
    return id === "gone" ? undefined : { id, inputs: inputs ?? {}, state: state ?? { read: true } };
  },
  update(_id, state, _olds, news) {
    return { ...state, ...news };
  },
  delete() {},
};

serve({ name: "test", version: "1.2.3", resources: { "test:index:Thing": thing } });
