const { bundle } = require("./bundle.cjs");

/** Bundles the programs that go into images: an image is rebuilt only when its program is another one. */
exports.bundleImagePrograms = function bundleImagePrograms() {
  bundle({
    programs: {
      "images/ha/dist/configurator": "configurator/main.ts",
      "images/webapp/dist/server": "images/webapp/src/server.ts",
    },
    // Of the web application, which has no use for them: images/webapp/src/app.ts.
    external: ["@fastify/ajv-compiler", "@fastify/fast-json-stringify-compiler"],
    // Outside every image's build context.
    stamps: "images/dist/stamps.json",
  });
};
