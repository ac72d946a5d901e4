/** The page of `npm run chaos`: each trial over time, as inline SVG, without any other file. */
import { SHAPES, summarize, type Exchange } from "../test/e2e/load";
import { judge, type Trial } from "../test/e2e/trial";

const WIDTH = 860;
const LEFT = 60;
const PLOT = WIDTH - LEFT - 10;
/** Answers and losses are counted in steps of so many ms. */
const STEP_MS = 250;
/** Points of latency drawn at most; the slowest are always among them. */
const MAX_POINTS = 1500;
const COLORS = ["#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2"];
const SHAPE_COLORS = { "keep-alive": "#4269d0", fresh: "#efb118" };

const escape = (text: string) => text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);

const colorOf = (index: number) => COLORS[index % COLORS.length];

/** One plot: title, what is drawn, the labels of its axes and the marks of the trial. */
interface Plot {
  title: string;
  height: number;
  content: string;
  /** Labels of the vertical axis with their places from the top. */
  ticks: [label: string, y: number][];
}

function frame({ title, height, content, ticks }: Plot, lasted: number, marks: Trial["marks"]) {
  const x = (ms: number) => LEFT + (ms / lasted) * PLOT;
  const seconds = Array.from({ length: Math.floor(lasted / 1000) + 1 }, (_, i) => i);
  const each = Math.ceil(seconds.length / 15);
  const below = seconds
    .filter((second) => second % each === 0)
    .map((second) => `<text x="${x(1000 * second)}" y="${height + 32}">${second} s</text>`);
  const left = ticks.map(
    ([label, y]) =>
      `<text class="left" x="${LEFT - 6}" y="${y + 24}">${label}</text>` +
      `<line class="grid" x1="${LEFT}" x2="${LEFT + PLOT}" y1="${y + 20}" y2="${y + 20}"/>`,
  );
  const moments = Object.entries(marks).map(
    ([name, at]) =>
      `<line class="mark" x1="${x(at)}" x2="${x(at)}" y1="20" y2="${height + 20}">` +
      `<title>${name}</title></line>`,
  );
  return (
    `<svg viewBox="0 0 ${WIDTH} ${height + 40}" role="img" aria-label="${title}">` +
    `<text class="title" x="${LEFT}" y="12">${title}</text>${left.join("")}${below.join("")}` +
    `<g transform="translate(${LEFT} 20)">${content}</g>${moments.join("")}</svg>`
  );
}

/** How many exchanges ended in each step. */
function countBySteps(exchanges: Exchange[], lasted: number): number[] {
  const counts = Array.from({ length: Math.ceil(lasted / STEP_MS) + 1 }, () => 0);
  for (const { at, took } of exchanges) counts[Math.floor((at + took) / STEP_MS)]++;
  return counts;
}

function plotAnswers(gets: Exchange[], lasted: number): Plot {
  const height = 120;
  const nodes = [...new Set(gets.flatMap(({ node }) => node ?? []))].sort((a, b) =>
    a.localeCompare(b, "en", { numeric: true }),
  );
  const series = nodes.map((node) =>
    countBySteps(
      gets.filter((get) => get.node === node),
      lasted,
    ),
  );
  const top = Math.max(1, ...series.flat());
  const lines = series.map((counts, i) => {
    const points = counts.map(
      (count, step) =>
        `${((step * STEP_MS * PLOT) / lasted).toFixed(1)},${(height - (count / top) * height).toFixed(1)}`,
    );
    return `<polyline stroke="${colorOf(i)}" points="${points.join(" ")}"><title>${escape(nodes[i])}</title></polyline>`;
  });
  const legend = nodes.map(
    (node, i) => `<tspan fill="${colorOf(i)}" dx="8">${escape(node)}</tspan>`,
  );
  const content = `${lines.join("")}<text class="title" y="-8" x="260">${legend.join("")}</text>`;
  const ticks: Plot["ticks"] = [
    [String(top), 0],
    ["0", height],
  ];
  return { title: `answers per node, each ${STEP_MS} ms`, height, content, ticks };
}

function plotLatency(gets: Exchange[], lasted: number): Plot {
  const height = 140;
  const slow = [...gets].sort((a, b) => b.took - a.took);
  const every = Math.ceil(slow.length / MAX_POINTS);
  const drawn = slow.filter((_, i) => i < 100 || i % every === 0);
  // From 0.1 ms to 10 s, each power of ten as high.
  const y = (ms: number) => height - ((Math.log10(Math.max(0.1, ms)) + 1) / 5) * height;
  const points = drawn.map(({ at, took, shape, lost }) => {
    const color = lost === undefined ? SHAPE_COLORS[shape] : "#d00";
    const cx = ((at * PLOT) / lasted).toFixed(1);
    return `<circle r="${lost === undefined ? 1.5 : 3}" cx="${cx}" cy="${y(took).toFixed(1)}" fill="${color}"/>`;
  });
  const legend = SHAPES.map(
    (shape) => `<tspan fill="${SHAPE_COLORS[shape]}" dx="8">${shape}</tspan>`,
  );
  const content = `${points.join("")}<text class="title" y="-8" x="260">${legend.join("")}</text>`;
  const ticks = [1, 10, 100, 1000, 10_000].map((ms): [string, number] => [
    ms < 1000 ? `${ms} ms` : `${ms / 1000} s`,
    y(ms),
  ]);
  return { title: "time to the answer, by when it was sent", height, content, ticks };
}

function plotLosses(exchanges: Exchange[], lasted: number): Plot {
  const height = 60;
  const kinds = [
    { name: "GETs lost", color: "#d00", method: "GET" },
    { name: "POSTs unanswered", color: "#a463f2", method: "POST" },
  ];
  const series = kinds.map(({ method }) =>
    countBySteps(
      exchanges.filter((one) => one.lost !== undefined && one.method === method),
      lasted,
    ),
  );
  const top = Math.max(1, ...series.flat());
  const width = (STEP_MS * PLOT) / lasted / 2;
  const bars = series.flatMap((counts, i) =>
    counts.map((count, step) => {
      const x = (step * STEP_MS * PLOT) / lasted + i * width;
      const tall = (count / top) * height;
      return count === 0
        ? ""
        : `<rect x="${x.toFixed(1)}" y="${(height - tall).toFixed(1)}" width="${width.toFixed(1)}" height="${tall.toFixed(1)}" fill="${kinds[i].color}"/>`;
    }),
  );
  const legend = kinds.map(({ name, color }) => `<tspan fill="${color}" dx="8">${name}</tspan>`);
  const content = `${bars.join("")}<text class="title" y="-8" x="260">${legend.join("")}</text>`;
  const ticks: Plot["ticks"] = [
    [String(top), 0],
    ["0", height],
  ];
  return { title: `lost, each ${STEP_MS} ms`, height, content, ticks };
}

function renderTrial(trial: Trial, index: number): string {
  const { fault, delayMs, load, marks } = trial;
  const { exchanges } = load;
  const lasted = Math.max(STEP_MS, ...exchanges.map(({ at, took }) => at + took));
  const gets = exchanges.filter(({ method }) => method === "GET");
  const plots = [
    plotAnswers(gets, lasted),
    plotLatency(gets, lasted),
    plotLosses(exchanges, lasted),
  ];
  const { broken, late } = judge(trial);
  const remarks = [...broken.slice(0, 10), ...late].map((line) => `<li>${escape(line)}</li>`);
  return (
    `<section id="t${index}"><h2>${escape(fault.name)}, answers of ${delayMs} ms</h2>` +
    `<ul>${remarks.join("")}</ul>` +
    `${plots.map((plot) => frame(plot, lasted, marks)).join("")}</section>`
  );
}

function renderRow(trial: Trial, index: number): string {
  const { fault, delayMs, load, posts } = trial;
  const { broken, late, gap } = judge(trial);
  const { slowestMs, outageMs } = fault.aims;
  const verdict = broken.length > 0 ? "broken" : late.length > 0 ? "late" : "good";
  const rows = SHAPES.map((shape) => {
    const gets = summarize(load, shape);
    const sentPosts = summarize(load, shape, "POST");
    const aim =
      outageMs !== undefined
        ? `${gap.toFixed(0)} of ${outageMs} ms without service`
        : slowestMs !== undefined
          ? `slowest ≤ ${slowestMs + delayMs} ms`
          : "";
    const cells = [
      ...[shape, gets.sent, gets.lost, gets.p50.toFixed(0), gets.p99.toFixed(0)],
      ...[gets.slowest.toFixed(0), aim, sentPosts.sent, sentPosts.lost, posts.twice.length],
    ];
    return `<tr class="${verdict}"><td><a href="#t${index}">${escape(fault.name)}, ${delayMs} ms</a></td>${cells
      .map((cell) => `<td>${cell}</td>`)
      .join("")}</tr>`;
  });
  return rows.join("");
}

const STYLE = `
body { font: 14px/1.4 system-ui, sans-serif; max-width: 900px; margin: 2em auto; color: #222; }
table { border-collapse: collapse; } td, th { padding: 2px 8px; text-align: left; }
tr.broken td { background: #fdd; } tr.late td { background: #ffd; }
svg { display: block; width: 100%; } svg text { font-size: 10px; fill: #555; }
svg text.left { text-anchor: end; } svg polyline { fill: none; stroke-width: 1.5; }
svg .grid { stroke: #eee; } svg .mark { stroke: #888; stroke-dasharray: 3 3; }
svg text.title { font-size: 11px; }`;

const HEAD = ["fault", "shape", "sent", "lost", "p50", "p99", "slowest", "aim", "POSTs"]
  .concat("unanswered", "twice")
  .map((title) => `<th>${title}</th>`)
  .join("");

/** All trials so far. */
export function renderPage(trials: Trial[]): string {
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>npm run chaos</title><style>${STYLE}</style>
<h1>Load and faults</h1>
<p>Times in ms. The dashed lines are where the fault, its healing and the wait for agreement begin,
and where the latter ends.</p>
<table><tr>${HEAD}</tr>${trials.map(renderRow).join("\n")}</table>
${trials.map(renderTrial).join("\n")}
</html>
`;
}
