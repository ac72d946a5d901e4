/**
 * How TypeScript becomes the programs that run. Plain JavaScript: a provider's plugin starts with it,
 * and loading what transpiles it would take longer than all else.
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

exports.bundle = function bundle({ programs, stamps, external = [] }) {
  const options = { programs, external };
  const last = existsSync(join(checkout, stamps)) && JSON.parse(read(stamps));
  const isFresh = ([file, stamp]) => stampOf(file) === stamp;
  const isSame = last && JSON.stringify(last.options) === JSON.stringify(options);
  if (isSame && Object.entries(last.files).every(isFresh)) return;
  // Loaded when needed: most runs find the bundles as they should be.
  const { outputFiles, metafile } = require("esbuild").buildSync({
    entryPoints: programs,
    outdir: ".",
    absWorkingDir: checkout,
    bundle: true,
    platform: "node",
    target: "node20",
    external,
    write: false,
    metafile: true,
    logLevel: "error",
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
