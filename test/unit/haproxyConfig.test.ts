import {
  compare,
  haproxyConfig,
  type HaproxyConfigProperties,
} from "../../providers/lab/haproxyConfig";
import { UNKNOWN, type Context } from "../../providers/pluginServer";

const context = { preview: true } as Context;

const state: HaproxyConfigProperties = {
  container: "c1",
  text: "global\n",
  backends: { s1: "n1", s2: "n2" },
  __declaration: {
    template: "global\n",
    settings: {
      ports: { http: 80, stats: 1936, admin: 9999 },
      subnet: "10.0.0.0/24",
      gateway: "10.0.0.1",
      serverTimeoutMs: 1000,
      healthPath: "/health",
      checkIntervalMs: 500,
      checkTimeoutMs: 500,
      hardStopSeconds: 30,
      stickySessions: true,
      statsAuth: false,
      byName: false,
    },
    nodes: [],
    handMade: { range: "10.20.30.224/27", port: 3000 },
  },
};
const settings = { ...state.__declaration.settings, hardStopSeconds: 31 };

test.each([
  ["nothing", {}, { changes: false, detailed: {} }],
  ["the text", { text: "defaults\n" }, { changes: true, detailed: { text: "update" } }],
  ["the container", { container: "c2" }, { changes: true, detailed: { container: "update" } }],
  ["a new container", { container: UNKNOWN }, { changes: true, detailed: { container: "update" } }],
  [
    "a node's container",
    { backends: { s1: "n1", s2: UNKNOWN } },
    { changes: true, detailed: { "backends.s2": "update" } },
  ],
  [
    "a password that comes",
    { statsPasswordHash: "hash" },
    { changes: true, detailed: { statsPasswordHash: "add" } },
  ],
  ["the number of nodes alone", { backends: { s1: "n1" } }, { changes: false, detailed: {} }],
  [
    "what the template does not show",
    { __declaration: { ...state.__declaration, settings } },
    { changes: true, detailed: {} },
  ],
])("a change of %s is an update in place", async (_what, change, diff) => {
  expect(await haproxyConfig.diff("id", state, state, { ...state, ...change }, context)).toEqual(
    diff,
  );
});

const expected = "global\n# s9\n";
const runtime = ["frontend localnodes: got STOP, expected OPEN"];
test.each([
  ["as declared", { declared: state.text, expected, live: expected, runtime: [] }, state],
  [
    "edited by hand",
    { declared: state.text, expected, live: "edited\n", runtime: [] },
    { ...state, text: "edited\n" },
  ],
  ["without its file", { declared: state.text, expected, runtime: [] }, { ...state, text: "" }],
  [
    "changed by the admin CLI",
    { declared: state.text, expected, live: expected, runtime },
    { ...state, runtime },
  ],
  ["without its declaration", { live: state.text, runtime }, { ...state, runtime }],
  ["of before", { declared: state.text, expected, live: expected }, state],
])("what a refresh records of a balancer %s", async (_what, status, recorded) => {
  expect(compare({ ...state, ...{ runtime: ["of the last refresh"] } }, status)).toEqual(recorded);
  const { changes } = await haproxyConfig.diff("id", recorded, recorded, state, context);
  expect(changes).toBe(recorded !== state);
});

test("a preview of a create or an update touches no container", async () => {
  expect(await haproxyConfig.create(state, { ...context, name: "haproxy.cfg" })).toEqual({
    id: "haproxy.cfg",
    state,
  });
  expect(await haproxyConfig.update("id", state, state, state, context)).toEqual(state);
});

test.each([
  ["another password", { statsPasswordHash: UNKNOWN }, "update"],
  ["a password that goes", { statsPasswordHash: undefined }, "delete"],
])("%s is an update in place", async (_what, change, statsPasswordHash) => {
  const before = { ...state, statsPasswordHash: "hash" };
  const news = { ...before, ...change };
  const detailed = { statsPasswordHash };
  expect(await haproxyConfig.diff("id", before, before, news, context)).toEqual({
    changes: true,
    detailed,
  });
  expect(compare(before, { declared: state.text, expected, live: expected })).toEqual(before);
});
