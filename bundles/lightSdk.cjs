/**
 * Pulumi's SDK without what the lab's program does not use: every preview waits for it. What is declared
 * stays the same, and so does what a program may call. Names files of the SDK.
 */
const { createRequire, Module } = require("node:module");
const process = require("node:process");

const sdk = createRequire(require.resolve("@pulumi/pulumi"));

/**
 * Takes from the SDK what costs much and is seen by nobody.
 *
 * @param {() => void} load loads the SDK
 */
exports.lighten = function lighten(load) {
  // What turns functions into text, with TypeScript and npm's resolver.
  const serialize = ["serializeFunction", "serializeFunctionAsync"];
  standIn("./runtime/closure/serializeClosure", whenCalled(serialize));
  standIn("./runtime/closure/codePaths", whenCalled(["computeCodePaths"]));
  // What runs the CLI, and what traces a run.
  standIn("./automation", whenRead);
  const tracing = ["exporter-zipkin", "instrumentation", "instrumentation-grpc", "resources"];
  for (const name of [...tracing, "sdk-trace-base", "sdk-trace-node"]) {
    standIn(`@opentelemetry/${name}`, whenRead);
  }
  load();
  // A stack trace for each promise behind an output, some 200 for a container, in case it leaks; and
  // one for each resource, for the record of where in the sources it was declared.
  if (!process.env.PULUMI_DEBUG_PROMISE_LEAKS) {
    const debuggable = sdk("./runtime/debuggable");
    debuggable.debuggablePromise = withoutTrace(debuggable.debuggablePromise);
    sdk("./resource").Resource.callsites = () => [];
  }
  // Messages that the CLI drops unless it is asked for them: four calls for each resource, one after
  // the other. The launcher sets this for --debug too.
  if (process.env.PULUMI_OPTION_DEBUG !== "true") sdk("./log").debug = () => Promise.resolve();
};

/** Puts something in the place of a module, which is loaded once that asks for it. */
function standIn(name, makeExports) {
  const path = sdk.resolve(name);
  const load = () => {
    if (require.cache[path] === place) delete require.cache[path];
    return require(path);
  };
  const place = Object.assign(new Module(path), { loaded: true, exports: makeExports(load) });
  require.cache[path] = place;
}

/** A module's functions, which load it when they are called. */
function whenCalled(names) {
  return (load) =>
    Object.fromEntries(names.map((name) => [name, (...args) => load()[name](...args)]));
}

/** A module that is loaded when something of it is read. */
function whenRead(load) {
  return new Proxy({}, { get: (_, key) => key === "__esModule" || load()[key] });
}

function withoutTrace(work) {
  return (...args) => {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    try {
      return work(...args);
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
  };
}
