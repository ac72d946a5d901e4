import { nodesReady } from "../../providers/lab/nodesReady";
import { planTopology } from "../../config/topology";
import { LAB } from "../support/labConfig";
import { UNKNOWN, type Context } from "../../providers/pluginServer";

const context = { preview: true } as Context;
const [{ proxy: settings }] = planTopology(LAB).balancers;
const proxy = (template: string) => ({ __proxies: { ha: { template, settings } } });
const old = { balancers: ["ha"], containers: { s1: "a", s2: "b" }, ...proxy("old") };

test.each([
  ["nothing", old.containers, []],
  ["a new node", { ...old.containers, s3: "c" }, []],
  ["a node less", { s1: "a" }, []],
  ["another container", { s1: "x", s2: "b" }, ["s1"]],
  ["containers that only the update will know", { s1: UNKNOWN, s2: UNKNOWN }, ["s1", "s2"]],
  ["another container beside a new node", { s1: "x", s2: "b", s3: "c" }, ["s1"]],
])("%s: an update is due for the replaced nodes alone", async (_what, containers, replaced) => {
  // The recorded state is older: a node that came later is in the inputs alone.
  const state = { balancers: ["ha"], containers: { s1: "older" }, ...proxy("older") };
  // Another template shows in haproxy.cfg alone.
  const news = { balancers: ["ha"], containers, ...proxy("new") };
  expect(await nodesReady.diff("id", state, old, news, context)).toEqual({
    changes: replaced.length > 0,
    detailed: Object.fromEntries(replaced.map((name) => [`containers.${name}`, "update"])),
  });
});
