const { bundle } = require("./bundle.cjs");
const { optimizeLate } = require("./optimizeLate.cjs");

/**
 * Starts a provider plugin. From a bundle that takes half the time that transpiling each file does,
 * and every Pulumi command waits for it. Whatever the working directory, it stays the program's:
 * build contexts are relative to it.
 */
exports.start = function start(name) {
  optimizeLate();
  const program = `providers/dist/${name}`;
  bundle({
    programs: { [program]: `providers/${name}/main.ts` },
    stamps: `${program}.json`,
    external: ["dockerode"],
  });
  require(`../${program}.js`);
};
