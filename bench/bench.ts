/**
 * `npm run bench`: what this lab costs, beside what it is to be measured against in the same run.
 * Writes bench/results/bench.md and bench.html, with a plot for each section; `npm run bench -- <words>` runs the
 * sections of those names. No assertion: a machine's figures are its own, and the aims are shown.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseCommand, runCommand, UsageError } from "../cli/command";
import { benchApply } from "./apply";
import { benchDeploy } from "./deploy";
import { benchGrowth } from "./growth";
import { benchImages } from "./images";
import { benchMembership } from "./membership";
import { benchPreview } from "./preview";
import { benchProcessor } from "./processor";
import { TITLE, toHtml, toMarkdown, toSummary, toSvg, type Report } from "./report";
import { benchStart } from "./start";
import { benchThroughput } from "./throughput";

interface Section {
  title: string;
  run: (progress: (line: string) => void) => Promise<Report>;
}

const SECTIONS: Record<string, Section> = {
  deploy: { title: "Deploying, beside docker run and docker-compose", run: benchDeploy },
  preview: { title: "A preview that finds no change", run: benchPreview },
  processor: { title: "Where the processor's time goes", run: benchProcessor },
  throughput: { title: "Requests through the balancer", run: benchThroughput },
  images: { title: "Images: building again, and bytes", run: benchImages },
  apply: { title: "One change of the configuration", run: benchApply },
  membership: { title: "How fast the balancer follows its nodes", run: benchMembership },
  growth: { title: "Many nodes", run: benchGrowth },
  start: { title: "npm start from nothing", run: benchStart },
};

function choose(words: string[]): string[] {
  const known = Object.keys(SECTIONS);
  const unknown = words.find((word) => !known.includes(word));
  if (unknown !== undefined) {
    throw new UsageError(`there is no section ${unknown}; there is: ${known.join(", ")}`);
  }
  return words.length === 0 ? known : words;
}

async function bench(words: string[]): Promise<boolean> {
  const chosen = choose(words);
  const results = resolve(__dirname, "results");
  mkdirSync(results, { recursive: true });
  const reports: [title: string, Report][] = [];
  const failures: string[] = [];
  for (const [i, name] of chosen.entries()) {
    const { title, run } = SECTIONS[name];
    const say = (line: string) => console.error(`[${i + 1}/${chosen.length} ${name}] ${line}`);
    say("begins");
    const started = performance.now();
    try {
      const report = await run(say);
      reports.push([title, report]);
      for (const plot of report.plots)
        writeFileSync(join(results, `${plot.file}.svg`), toSvg(plot));
    } catch (error) {
      failures.push(`${title}: ${(error as Error).message}`);
      say(`failed: ${(error as Error).message}`);
    }
    say(`took ${((performance.now() - started) / 60_000).toFixed(1)} min`);
    const parts = [
      `# ${TITLE}`,
      toSummary(reports.map(([, report]) => report)),
      ...reports.map(([title, report]) => toMarkdown(title, report)),
      ...failures.map((failure) => `Failed: ${failure}`),
    ];
    writeFileSync(join(results, "bench.md"), `${parts.join("\n\n")}\n`);
    writeFileSync(join(results, "bench.html"), toHtml(reports));
  }
  console.log(toSummary(reports.map(([, report]) => report)));
  console.log(`\nAll of it: bench/results/bench.md, and with plots bench/results/bench.html`);
  return failures.length === 0;
}

const USAGE = `usage: npm run bench [-- SECTION…]

Measures this lab beside its peers and writes bench/results/bench.md. The sections:

${Object.entries(SECTIONS)
  .map(([name, { title }]) => `  ${name.padEnd(12)}${title}`)
  .join("\n")}`;

runCommand(async () => {
  const { positionals } = parseCommand(USAGE, { allowPositionals: true });
  return (await bench(positionals)) ? 0 : 1;
});
