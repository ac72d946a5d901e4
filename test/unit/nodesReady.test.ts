import { nodesReady } from "../../providers/lab/nodesReady";
import { UNKNOWN, type Context } from "../../providers/pluginServer";

const context = { preview: true } as Context;
const old = { balancer: "ha", containers: { s1: "a", s2: "b" } };

test.each([
  ["nothing", old.containers, []],
  ["a new node", { ...old.containers, s3: "c" }, []],
  ["a node less", { s1: "a" }, []],
  ["another container", { s1: "x", s2: "b" }, ["s1"]],
  ["containers that only the update will know", { s1: UNKNOWN, s2: UNKNOWN }, ["s1", "s2"]],
  ["another container beside a new node", { s1: "x", s2: "b", s3: "c" }, ["s1"]],
])("%s: an update is due for the replaced nodes alone", async (_what, containers, replaced) => {
  // The recorded state is older: a node that came later is in the inputs alone.
  const state = { balancer: "ha", containers: { s1: "older" } };
  expect(await nodesReady.diff("id", state, old, { balancer: "ha", containers }, context)).toEqual({
    changes: replaced.length > 0,
    detailed: Object.fromEntries(replaced.map((name) => [`containers.${name}`, "update"])),
  });
});
