/** What an image costs to build again after one changed line, beside `docker build`, and its bytes. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { imageNames } from "../config/topology";
import { LabCheckout } from "../test/support/checkout";
import { run, timed } from "./measure";
import { median, megabytes, seconds, times, type Report } from "./report";

const ROUNDS = 5;
const ALL_TOGETHER = 450e6;

/** Changes one line of a file, to another text each time. */
function changeLine(file: string, line: RegExp, text: string): void {
  const before = readFileSync(file, "utf8");
  const after = before.replace(line, text);
  if (after === before) throw new Error(`${file} has no line ${line}`);
  writeFileSync(file, after);
}

interface Rebuild {
  /** s */
  own: number;
  byHand: number;
  /** Layers that the image had not before. */
  layers: number;
}

async function measure(lab: LabCheckout, images: Names, round: number): Promise<Rebuild> {
  const layersOf = async () =>
    (await lab.host.engine.getImage(images.webapp).inspect()).RootFS.Layers!;
  const before = await layersOf();
  const source = join(lab.folder, "images/webapp/src/app.ts");
  changeLine(source, /hello: "[^"]*"/, `hello: "round ${round}"`);
  const output = await lab.up();
  const own = /docker:index:Image webapp updated \(([\d.]+)s\)/.exec(output);
  if (own === null) throw new Error(`the web image was not built again:\n${output}`);
  const layers = (await layersOf()).filter((layer) => !before.includes(layer)).length;

  const bundle = join(lab.folder, "images/webapp/dist/server.js");
  changeLine(bundle, /hello: "[^"]*"/, `hello: "by hand ${round}"`);
  const base = await lab.host.engine.getImage(images.base).inspect();
  const args = ["--build-arg", `BASE=${images.base}`, "--build-arg", `BASE_ID=${base.Id}`];
  const tag = `${images.webapp}-by-hand`;
  const byHand = await timed(() =>
    run(["docker", "build", "--quiet", "--tag", tag, ...args, "images/webapp"], {
      cwd: lab.folder,
    }),
  );
  return { own: Number(own[1]), byHand, layers };
}

type Names = ReturnType<typeof imageNames>;

async function readSizes(lab: LabCheckout, images: Names) {
  const sizeOf = async (name: string) => (await lab.host.engine.getImage(name).inspect()).Size;
  const [base, ha, webapp] = await Promise.all([images.base, images.ha, images.webapp].map(sizeOf));
  return { base, ha: ha - base, webapp: webapp - base, apart: ha + webapp };
}

function toReport(rebuilds: Rebuild[], sizes: Awaited<ReturnType<typeof readSizes>>): Report {
  const [own, byHand] = [
    median(rebuilds.map(({ own }) => own)),
    median(rebuilds.map(({ byHand }) => byHand)),
  ];
  const ratio = median(rebuilds.map(({ own, byHand }) => own / byHand));
  const layers = Math.max(...rebuilds.map(({ layers }) => layers));
  const together = sizes.base + sizes.ha + sizes.webapp;
  return {
    comparisons: [
      {
        figure: "image built again after one changed line of the application",
        own: seconds(own),
        against: `docker build: ${seconds(byHand)}`,
        ratio: `${times(ratio)}, ${layers} layer${layers === 1 ? "" : "s"}`,
        aim: "≤ 1.2×, one layer",
        isMet: ratio <= 1.2 && layers === 1,
      },
      {
        figure: "bytes of all three images",
        own: megabytes(together),
        against: `with no shared base: ${megabytes(sizes.apart)}`,
        ratio: times(together / sizes.apart),
        aim: `< ${megabytes(ALL_TOGETHER)}`,
        isMet: together < ALL_TOGETHER,
      },
    ],
    tables: [
      {
        title: "Bytes unique to each image:",
        header: ["base, with Debian", "ha", "webapp"],
        rows: [[sizes.base, sizes.ha, sizes.webapp].map(megabytes)],
      },
      {
        title: "Building again, s:",
        header: ["this lab", "docker build", "new layers"],
        rows: rebuilds.map(({ own, byHand, layers }) => [own, byHand.toFixed(2), layers]),
      },
    ],
    plots: [
      {
        file: "images",
        title: "Bytes of the images",
        unit: "MB",
        kind: "stacked",
        categories: ["shared base", "no shared base"],
        series: (["base", "ha", "webapp"] as const).map((image) => ({
          name: image,
          values: [sizes[image], image === "base" ? 2 * sizes.base : sizes[image]].map((bytes) =>
            Math.round(bytes / 1e6),
          ),
        })),
      },
    ],
    notes: [
      "This lab's time is that of the image in `up`, which then also rolls through the nodes; " +
        "`docker build` is the CLI's, on this machine.",
    ],
  };
}

/** @param progress called with a line for a person who waits */
export async function benchImages(progress: (line: string) => void): Promise<Report> {
  const lab = await LabCheckout.create("bench-images");
  try {
    await lab.scale(1);
    const images = imageNames({ namePrefix: String(lab.config.namePrefix), stack: lab.stack });
    const sizes = await readSizes(lab, images);
    const rebuilds: Rebuild[] = [];
    for (let round = 1; round <= ROUNDS; round++) {
      progress(`round ${round} of ${ROUNDS}`);
      rebuilds.push(await measure(lab, images, round));
    }
    return toReport(rebuilds, sizes);
  } finally {
    await lab.remove();
  }
}
