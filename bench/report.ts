/** What a section of the benchmark gives, and how it becomes Markdown and SVG. */
import * as echarts from "echarts";

/** A figure beside what it is measured against, in the same run on the same machine. */
export interface Comparison {
  figure: string;
  own: string;
  against: string;
  /** Own by the other's, or what else the aim is about. */
  ratio: string;
  aim: string;
  /** Undefined where the figure is only to be shown. */
  isMet?: boolean;
}

export interface Table {
  title: string;
  header: string[];
  rows: (string | number)[][];
}

interface Series {
  name: string;
  /** A gap where there is no value. */
  values: (number | undefined)[];
}

/** Bars by category; stacked, a bar is the sum of its series. */
interface BarPlot {
  kind: "bars" | "stacked";
  categories: string[];
  series: Series[];
}

/** Lines over a number; a series has one value for each x. */
interface LinePlot {
  kind: "lines";
  xTitle: string;
  x: number[];
  series: Series[];
}

export type Plot = (BarPlot | LinePlot) & {
  /** Name of the SVG file, without its extension. */
  file: string;
  title: string;
  /** Of the values. */
  unit: string;
};

export interface Report {
  comparisons: Comparison[];
  tables: Table[];
  plots: Plot[];
  /** What a reader has to know beside the figures. */
  notes: string[];
}

/** @param q from 0 to 1; 0.5 is the median */
export function quantile(values: number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1))] ?? NaN;
}

export const median = (values: number[]) => quantile(values, 0.5);

export const seconds = (value: number) => `${value.toFixed(value < 10 ? 2 : 1)} s`;
export const times = (ratio: number) => `${ratio.toFixed(2)}×`;
export const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;

export function toMarkdownTable(header: string[], rows: (string | number)[][]): string {
  const lines = [header, header.map(() => "---"), ...rows];
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

const AIMS = ["figure", "this lab", "against", "ratio", "aim", ""];

export const TITLE = "Figures of one run on one machine";

function summarize(reports: Report[]): string[][] {
  return reports.flatMap(({ comparisons }) =>
    comparisons.map(({ figure, own, against, ratio, aim, isMet }) => [
      ...[figure, own, against, ratio, aim],
      isMet === undefined ? "shown" : isMet ? "met" : "missed",
    ]),
  );
}

/** The side-by-side table of all sections. */
export const toSummary = (reports: Report[]) => toMarkdownTable(AIMS, summarize(reports));

/** A section's tables, its notes and its plots by the names of their files. */
export function toMarkdown(title: string, { tables, plots, notes }: Report): string {
  return [
    `## ${title}`,
    ...tables.map(({ title, header, rows }) => `${title}\n\n${toMarkdownTable(header, rows)}`),
    ...(notes.length > 0 ? [notes.map((note) => `- ${note}`).join("\n")] : []),
    ...plots.map(({ file, title }) => `![${title}](${file}.svg)`),
  ].join("\n\n");
}

export const escapeHtml = (text: string): string =>
  text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

const STYLE = `
body { font: 14px/1.4 system-ui, sans-serif; max-width: 1200px; margin: 2em auto; padding: 0 1em; color: #222; }
div { overflow-x: auto; } table { border-collapse: collapse; font-size: 12px; }
td, th { padding: 2px 6px; text-align: left; white-space: nowrap; }
tr.BROKEN td, tr.missed td { background: #fdd; } tr.late td { background: #ffd; }`;

/** A page that needs nothing beside itself. */
export const toPage = (title: string, body: string) => `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>${title}</title><style>${STYLE}</style>
${body}
</html>
`;

/** @param rows cells of HTML, and the class of the row */
export function toHtmlTable(header: string[], rows: { cells: string[]; name?: string }[]): string {
  const head = header.map((title) => `<th>${escapeHtml(title)}</th>`).join("");
  const lines = rows.map(
    ({ cells, name = "" }) => `<tr class="${name}"><td>${cells.join("</td><td>")}</td></tr>`,
  );
  return `<div><table><tr>${head}</tr>${lines.join("\n")}</table></div>`;
}

/** All sections with their plots. */
export function toHtml(reports: [title: string, Report][]): string {
  const table = (header: string[], rows: (string | number)[][]) =>
    toHtmlTable(
      header,
      rows.map((cells) => {
        const texts = cells.map((cell) => escapeHtml(String(cell)));
        return { cells: texts, name: texts.at(-1) === "missed" ? "missed" : "" };
      }),
    );
  const sections = reports.map(([title, { tables, notes, plots }]) =>
    [
      `<h2>${escapeHtml(title)}</h2>`,
      ...plots.map(toSvg),
      ...tables.map((it) => `<p>${escapeHtml(it.title)}</p>${table(it.header, it.rows)}`),
      ...(notes.length > 0
        ? [`<ul>${notes.map((it) => `<li>${escapeHtml(it)}`).join("")}</ul>`]
        : []),
    ].join("\n"),
  );
  const summary = table(AIMS, summarize(reports.map(([, report]) => report)));
  return toPage("npm run bench", [`<h1>${TITLE}</h1>`, summary, ...sections].join("\n"));
}

/** A plot as an SVG document of its own. */
export function toSvg(plot: Plot): string {
  const isLines = plot.kind === "lines";
  const series = plot.series.map(({ name, values }) => ({
    name,
    type: isLines ? ("line" as const) : ("bar" as const),
    ...(plot.kind === "stacked" && { stack: "all" }),
    data: values.map((value, i) => (isLines ? [plot.x[i], value ?? "-"] : (value ?? "-"))),
  }));
  const option: echarts.EChartsCoreOption = {
    backgroundColor: "#fff",
    title: { text: plot.title, left: "center" },
    // Without a browser the width of text is only estimated.
    legend: { bottom: 0, itemGap: 24 },
    grid: { left: 70, right: 30, top: 50, bottom: isLines ? 75 : 60 },
    xAxis: isLines
      ? { type: "value", name: plot.xTitle, nameLocation: "middle", nameGap: 28 }
      : { type: "category", data: plot.categories },
    yAxis: { type: "value", name: plot.unit },
    series,
  };
  return drawSvg(option, 760, 380);
}

/** @param width and height in pixels */
export function drawSvg(option: echarts.EChartsCoreOption, width: number, height: number): string {
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width, height });
  chart.setOption({ animation: false, ...option });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}
