const process = require("node:process");
const { lighten } = require("./lightSdk.cjs");
const { optimizeLate } = require("./optimizeLate.cjs");

// What the launcher has the language host start. One that was built from its Go module reads no
// options of Pulumi.yaml and asks for ts-node, which loads TypeScript.
if (process.argv.at(-1) === "program.cjs") delete process.env.PULUMI_NODEJS_TYPESCRIPT;
optimizeLate();
lighten(() => require("@pulumi/pulumi/cmd/run"));
