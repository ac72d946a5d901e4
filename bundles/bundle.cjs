/**
 * How TypeScript becomes the programs that run. Plain JavaScript: the program and the
 * plugins start with it, and loading what transpiles it would take longer than all else.
 */
const {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} = require("node:fs");
const { dirname, join, relative } = require("node:path");
const process = require("node:process");

const checkout = dirname(module.path);

/**
 * Makes the bundles where a source, an option or this program has changed since. The same source gives
 * the same bytes, and a file that would not change is not written.
 *
 * @param {object} options
 * @param {Record<string, string>} options.programs source by bundle, both relative to the checkout,
 *   the bundle without its `.js`
 * @param {string} options.stamps the file that keeps of what the bundles were made: size and time of
 *   all that went in or came out
 * @param {string[]} [options.external] packages that are loaded when the program runs
 * @param {boolean} [options.sourcemap] whether a stack trace is to name the sources
 */
exports.bundle = function bundle({ programs, stamps, external = [], sourcemap = false }) {
  const options = { programs, external, sourcemap };
  const last = existsSync(join(checkout, stamps)) && JSON.parse(read(stamps));
  const isFresh = ([file, stamp]) => stampOf(file) === stamp;
  const isSame = last && JSON.stringify(last.options) === JSON.stringify(options);
  if (isSame && Object.entries(last.files).every(isFresh)) return;
  // Loaded when needed: most runs find the bundles as they should be.
  const { outputFiles, metafile } = build({
    entryPoints: programs,
    outdir: ".",
    absWorkingDir: checkout,
    bundle: true,
    platform: "node",
    target: "node20",
    external,
    sourcemap,
    sourcesContent: false,
    write: false,
    metafile: true,
    logLevel: "silent",
  });
  const outputs = outputFiles.map(({ path, text }) => {
    const file = relative(checkout, path);
    if (!existsSync(path) || read(file) !== text) writeNew(file, text);
    return file;
  });
  const files = [...Object.keys(metafile.inputs), ...outputs, relative(checkout, module.filename)];
  const stamped = Object.fromEntries(files.map((file) => [file, stampOf(file)]));
  writeNew(stamps, JSON.stringify({ options, files: stamped }));
};

/** @throws what Pulumi shows without a stack trace: the message names files and lines */
function build(options) {
  const { buildSync } = require("esbuild");
  try {
    return buildSync(options);
  } catch (cause) {
    throw new SyntaxError(cause.message, { cause });
  }
}

const read = (file) => readFileSync(join(checkout, file), "utf8");

/** Size and time of a file's last change. */
function stampOf(file) {
  const stat = statSync(join(checkout, file), { throwIfNoEntry: false });
  return stat && `${stat.size} ${stat.mtimeMs}`;
}

/** In one step: another command may read at the same time. */
function writeNew(file, text) {
  const path = join(checkout, file);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.${process.pid}`, text);
  renameSync(`${path}.${process.pid}`, path);
}
