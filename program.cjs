/**
 * What Pulumi runs: index.ts, from a bundle. The working directory of a program is the folder of this
 * file, and build contexts are relative to it.
 */
const { createRequire, Module } = require("node:module");
const { bundle } = require("./bundles/bundle.cjs");
const { bundleImagePrograms } = require("./bundles/imagePrograms.cjs");

bundleImagePrograms();
bundle({
  // As deep in the checkout as cli/setup/places.ts, which finds the checkout from its own folder.
  programs: { "bundles/dist/program": "index.ts" },
  stamps: "bundles/dist/program.json",
  // The SDK is the one that runs this program, and there must be one only.
  external: ["@pulumi/pulumi", "@pulumi/docker", "dockerode"],
  sourcemap: true,
});

// The SDK's part that turns functions into text, with TypeScript and npm's resolver: loading it would
// take longer than all the rest of the program, which uses none of it.
loadWhenCalled("serializeClosure", ["serializeFunction", "serializeFunctionAsync"]);
loadWhenCalled("codePaths", ["computeCodePaths"]);

module.exports = require("./bundles/dist/program.js");

function loadWhenCalled(name, functions) {
  const sdk = createRequire(require.resolve("@pulumi/pulumi"));
  const path = sdk.resolve(`./runtime/closure/${name}`);
  const load = () => {
    if (require.cache[path] === standIn) delete require.cache[path];
    return require(path);
  };
  const standIn = Object.assign(new Module(path), {
    loaded: true,
    exports: Object.fromEntries(functions.map((key) => [key, (...args) => load()[key](...args)])),
  });
  require.cache[path] = standIn;
}
