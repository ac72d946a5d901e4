/** A report as one page that needs nothing but itself. */
import { linkTo, type Block, type Document } from "./document";

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --accent: #0a6cbd; --plus: #1a7f37;
  --minus: #b3261e; --answer: #b7791f; }
@media (prefers-color-scheme: dark) { :root { --accent: #6db7f2; --plus: #56d364; --minus: #ff8b82;
  --answer: #e3b341; } }
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem;
  overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.2; } h2 { margin-top: 3rem; border-bottom: 1px solid var(--line); }
h3 { margin-top: 1.8rem; } a { color: var(--accent); }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; }
code, pre { font: .85em/1.5 ui-monospace, monospace; } code { background: var(--soft); padding: .1em .3em; }
pre { background: var(--soft); padding: .7rem; margin: 0; white-space: pre-wrap; }
.wide { overflow-x: auto; } .wide img { display: block; width: 100%; min-width: 44rem; }
figure { margin: 1rem 0; } figcaption { font-size: .9rem; opacity: .8; margin-bottom: .3rem; }
figure .wide { border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
td, th { padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
.plus { color: var(--plus); } .minus { color: var(--minus); }
.question { border: 2px dashed var(--answer); border-radius: 6px; padding: .2rem 1rem 3.5rem; margin: 1rem 0; }
.question small { color: var(--answer); }
@media print { .question { padding-bottom: 12rem; break-inside: avoid; } }`;

/** @param read gives the content of an image by its path, which the page then holds itself */
export function toHtml(
  { title, intro, sections }: Document,
  read: (file: string) => Buffer,
): string {
  const links = sections.map(({ title }, i) => `<li><a href="#s${i}">${escape(title)}</a></li>`);
  const parts = sections.map(
    ({ title, blocks }, i) =>
      `<section id="s${i}"><h2>${escape(title)}</h2>\n` +
      `${blocks.map((block) => renderBlock(block, read)).join("\n")}</section>`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><title>${escape(title)}</title><style>${STYLE}</style></head>
<body><h1>${escape(title)}</h1>
<p>${renderInline(intro)}</p>
<nav><ul>${links.join("")}</ul></nav>
${parts.join("\n")}
</body></html>
`;
}

function renderBlock(block: Block, read: (file: string) => Buffer): string {
  switch (block.kind) {
    case "heading":
      return `<h3>${escape(block.text)}</h3>`;
    case "text":
      return `<p>${renderInline(block.text)}</p>`;
    case "list":
      return `<ul>${block.items.map((item) => `<li>${renderInline(item)}</li>`).join("")}</ul>`;
    case "table":
      return (
        `<div class="wide"><table><thead>${renderRow("th", block.header)}</thead>` +
        `<tbody>${block.rows.map((row) => renderRow("td", row)).join("")}</tbody></table></div>`
      );
    case "diff":
      return (
        `<figure><figcaption>${escape(block.title)}</figcaption>` +
        `<pre>${block.lines.map(renderDiffLine).join("\n")}</pre></figure>`
      );
    case "image": {
      const source = `data:image/png;base64,${read(block.file).toString("base64")}`;
      return (
        `<figure><figcaption>${renderLink(block.file, block.title)}</figcaption>` +
        `<div class="wide"><img src="${source}" alt="${escape(block.title)}"></div></figure>`
      );
    }
    case "files":
      return `<ul>${block.files.map((file) => `<li>${renderLink(file, file)}</li>`).join("")}</ul>`;
    case "question":
      return (
        `<div class="question"><p><strong>${escape(block.name)}</strong> ` +
        `${renderInline(block.text)}</p><small>Your answer, in report.md</small></div>`
      );
  }
}

const renderRow = (tag: string, cells: string[]) =>
  `<tr>${cells.map((cell) => `<${tag}>${escape(cell)}</${tag}>`).join("")}</tr>`;

const renderLink = (file: string, text: string) =>
  `<a href="${escape(linkTo(file))}">${escape(text)}</a>`;

function renderDiffLine(line: string): string {
  const kind = { "+": "plus", "-": "minus" }[line[0]];
  return kind ? `<span class="${kind}">${escape(line)}</span>` : escape(line);
}

const renderInline = (text: string) => escape(text).replace(/`([^`]+)`/g, "<code>$1</code>");

const escape = (text: string) => text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
