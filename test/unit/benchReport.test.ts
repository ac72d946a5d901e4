import {
  quantile,
  toHtml,
  toMarkdownTable,
  toSummary,
  toSvg,
  type Report,
} from "../../bench/report";

test("a quantile is one of the values: the least that so many do not exceed", () => {
  const values = [5, 1, 4, 2, 3];
  expect([0, 0.5, 0.99, 1].map((q) => quantile(values, q))).toEqual([1, 3, 5, 5]);
  expect(quantile([], 0.5)).toBeNaN();
});

test("a table is Markdown", () => {
  expect(toMarkdownTable(["nodes", "s"], [[2, "1.5"]])).toBe(
    "| nodes | s |\n| --- | --- |\n| 2 | 1.5 |",
  );
});

test("the summary says of each aim whether it is met", () => {
  const comparison = { figure: "f", own: "1 s", against: "2 s", ratio: "0.50×", aim: "faster" };
  const report: Report = {
    comparisons: [
      { ...comparison, isMet: true },
      { ...comparison, isMet: false },
      { ...comparison, aim: "" },
    ],
    tables: [],
    plots: [],
    notes: [],
  };
  expect(toSummary([report]).split("\n").slice(2)).toEqual([
    "| f | 1 s | 2 s | 0.50× | faster | met |",
    "| f | 1 s | 2 s | 0.50× | faster | missed |",
    "| f | 1 s | 2 s | 0.50× |  | shown |",
  ]);
});

test("a plot is an SVG document with its title, its names and its categories", () => {
  const series = [
    { name: "this lab", values: [1, 2] },
    { name: "another", values: [3, undefined] },
  ];
  const plot = { file: "p", title: "A plot", unit: "s", series };
  const bars = toSvg({ ...plot, kind: "bars", categories: ["few", "many"] });
  const lines = toSvg({ ...plot, kind: "lines", xTitle: "nodes", x: [2, 10] });
  expect(bars).toMatch(/^<svg [^]*<\/svg>$/);
  for (const text of ["A plot", "this lab", "another", "few", "many"]) expect(bars).toContain(text);
  for (const text of ["A plot", "this lab", "another", "nodes"]) expect(lines).toContain(text);
});

test("the page has each plot and table in it, and a missed aim stands out", () => {
  const plot = { file: "p", title: "A plot", unit: "s", series: [], kind: "bars" as const };
  const page = toHtml([
    [
      "A <section>",
      {
        comparisons: [
          { figure: "f", own: "2 s", against: "1 s", ratio: "2×", aim: "< 1×", isMet: false },
        ],
        tables: [{ title: "All:", header: ["nodes"], rows: [[7]] }],
        plots: [{ ...plot, categories: [] }],
        notes: ["a note"],
      },
    ],
  ]);
  expect(page).toContain("<h2>A &#60;section&#62;</h2>");
  expect(page).toContain(
    '<tr class="missed"><td>f</td><td>2 s</td><td>1 s</td><td>2×</td><td>&#60; 1×</td><td>missed</td></tr>',
  );
  expect(page).toContain('<tr class=""><td>7</td></tr>');
  expect(page.match(/<svg [^]*A plot[^]*<\/svg>/)).not.toBeNull();
  expect(page).toContain("<li>a note");
});
