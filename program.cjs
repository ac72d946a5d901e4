/**
 * What Pulumi runs: index.ts, from a bundle. The working directory of a program is the folder of this
 * file, and build contexts are relative to it.
 */
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

module.exports = require("./bundles/dist/program.js");
