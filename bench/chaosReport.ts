/** The table of `npm run chaos`, and its page with each trial over time. */
import { SHAPES, summarize, type Exchange } from "../test/support/load";
import { sortNodes } from "../haproxy/render";
import { judge, type Trial } from "../test/support/trial";
import { drawSvg, escapeHtml, toHtmlTable, toMarkdownTable, toPage } from "./report";

const HEAD = [
  [
    "fault",
    "balancers",
    "answers",
    "shape",
    "sent",
    "lost",
    "p99",
    "slowest",
    "aim",
    "POSTs",
    "unanswered",
  ],
  ["twice", "tried again", "cut", "verdict"],
].flat();

type Verdict = "good" | "late" | "BROKEN";

function verdictOn(trial: Trial): Verdict {
  const { broken, late } = judge(trial);
  return broken.length > 0 ? "BROKEN" : late.length > 0 ? "late" : "good";
}

/** A row for each shape of a trial. */
export function tabulate(trial: Trial): string[][] {
  const { fault, delayMs, load, posts, retried } = trial;
  const { slowestMs, outageMs } = fault.aims;
  const { gap, cut } = judge(trial);
  const aim =
    outageMs !== undefined
      ? `${gap.toFixed(0)} of ${outageMs} ms without service`
      : slowestMs !== undefined
        ? `≤ ${slowestMs + delayMs} ms`
        : "";
  return SHAPES.map((shape) => {
    const gets = summarize(load, shape);
    const sentPosts = summarize(load, shape, "POST");
    return [
      ...[fault.name, fault.balancers ?? 1, `${delayMs} ms`, shape, gets.sent, gets.lost],
      ...[`${gets.p99.toFixed(0)} ms`, `${gets.slowest.toFixed(0)} ms`, aim],
      ...[sentPosts.sent, sentPosts.lost, posts.twice.length, retried, cut, verdictOn(trial)],
    ].map(String);
  });
}

export const toMarkdown = (trials: Trial[]) => toMarkdownTable(HEAD, trials.flatMap(tabulate));

/** Answers and losses are counted in steps of so many ms. */
const STEP_MS = 250;
/** Points of latency drawn at most; the slowest are always among them. */
const MAX_POINTS = 1500;

type Point = [seconds: number, value: number];

/** How many exchanges ended in each step. */
function countBySteps(exchanges: Exchange[]): Point[] {
  const counts: number[] = [];
  for (const { at, took } of exchanges) {
    const step = Math.floor((at + took) / STEP_MS);
    counts[step] = (counts[step] ?? 0) + 1;
  }
  return Array.from(counts, (count, step) => [(step * STEP_MS) / 1000, count ?? 0]);
}

function toLatencies(gets: Exchange[]): Point[] {
  const slowestFirst = [...gets].sort((a, b) => b.took - a.took);
  const every = Math.ceil(slowestFirst.length / MAX_POINTS);
  return slowestFirst
    .filter((_, i) => i < 100 || i % every === 0)
    .map(({ at, took }) => [at / 1000, Math.max(0.1, took)]);
}

/** Three plots below each other over the same seconds, as SVG. */
function draw({ load: { exchanges }, marks }: Trial): string {
  const gets = exchanges.filter(({ method }) => method === "GET");
  const answered = gets.filter(({ lost }) => lost === undefined);
  const nodes = sortNodes(
    [...new Set(answered.map(({ node }) => node!))].map((name) => ({ name })),
  );
  const lines = nodes.map(({ name }) => ({
    name,
    points: countBySteps(answered.filter(({ node }) => node === name)),
  }));
  const lostOf = (method: Exchange["method"]) =>
    countBySteps(exchanges.filter((one) => one.lost !== undefined && one.method === method));
  const lasted = Math.ceil(Math.max(...exchanges.map(({ at, took }) => at + took)) / 1000);
  const plots = [
    { title: `answers of each node in ${STEP_MS} ms`, top: 50, height: 130 },
    { title: "time to the answer by when it was sent, ms", top: 245, height: 150 },
    { title: `lost in ${STEP_MS} ms`, top: 460, height: 70 },
  ];
  const moments = {
    silent: true,
    symbol: "none",
    lineStyle: { color: "#888" },
    label: { formatter: "{b}", fontSize: 9 },
    // One below the other, into the picture: marks that are close have room, and none is cut off.
    data: Object.entries(marks).map(([name, at], i) => ({
      ...{ name, xAxis: at / 1000 },
      label: {
        align: at / 1000 < lasted / 2 ? "left" : "right",
        offset: [0, -11 * (i % 3)],
      },
    })),
  };
  const option = {
    title: plots.map(({ title, top }) => ({
      text: title,
      top: top - 38,
      textStyle: { fontSize: 11 },
    })),
    legend: { bottom: 0, itemGap: 20, textStyle: { fontSize: 10 } },
    grid: plots.map(({ top, height }) => ({ left: 50, right: 20, top, height })),
    xAxis: plots.map((_, gridIndex) => ({
      ...{ gridIndex, type: "value", min: 0, max: lasted },
      ...{ name: gridIndex === plots.length - 1 ? "s" : "", nameGap: 5 },
    })),
    yAxis: plots.map((_, gridIndex) => ({ gridIndex, type: gridIndex === 1 ? "log" : "value" })),
    series: [
      ...lines.map(({ name, points }, i) => ({
        ...{ name, type: "line", symbol: "none", data: points },
        ...(i === 0 && { markLine: moments }),
      })),
      ...SHAPES.map((shape) => ({
        ...{ name: shape, type: "scatter", symbolSize: 3, xAxisIndex: 1, yAxisIndex: 1 },
        data: toLatencies(answered.filter((get) => get.shape === shape)),
      })),
      ...(["GET", "POST"] as const).map((method) => ({
        ...{ name: `${method}s lost`, type: "bar", xAxisIndex: 2, yAxisIndex: 2 },
        data: lostOf(method),
      })),
    ],
  };
  return drawSvg(option, 880, 580);
}

function renderTrial(trial: Trial, index: number): string {
  const { broken, late } = judge(trial);
  const remarks = [...broken.slice(0, 10), ...late].map((line) => `<li>${escapeHtml(line)}</li>`);
  return (
    `<section id="t${index}"><h2>${escapeHtml(trial.fault.name)}, answers of ${trial.delayMs} ms</h2>` +
    `<ul>${remarks.join("")}</ul>${draw(trial)}</section>`
  );
}

function renderRows(trial: Trial, index: number) {
  return tabulate(trial).map(([fault, ...cells]) => {
    const link = `<a href="#t${index}">${escapeHtml(fault)}</a>`;
    return { cells: [link, ...cells.map(escapeHtml)], name: verdictOn(trial) };
  });
}

/** All trials so far. */
export const renderPage = (trials: Trial[]) =>
  toPage(
    "npm run chaos",
    `<h1>Load and faults</h1>
<p>Lines across mark where the fault, its healing and the wait for agreement begin, and where the
latter ends. Seconds are since the load began.</p>
${toHtmlTable(HEAD, trials.flatMap(renderRows))}
${trials.map(renderTrial).join("\n")}`,
  );
