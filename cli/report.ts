/** `npm run report`: the course's deliverables, collected: `logs/` and `report/`. */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { browserStep, openBrowser } from "./browser";
import { findLab } from "./lab";
import type { Report } from "./report/document";
import { reportHere } from "./report/here";
import { toHtml } from "./report/html";
import { toMarkdown } from "./report/markdown";
import { Output, UsageError } from "./report/output";
import { complete } from "./setup/step";
import { chooseStack } from "./stack";

const USAGE = `usage: npm run report -- --here [--stack STACK] [--out DIR]

Writes DIR/logs with the evidence and DIR/report with report.md and index.html.

  --here         collect the evidence of the lab that runs now; changes nothing in it
  --stack STACK  the lab for --here; the selected stack without it
  --out DIR      where report/ and logs/ go; the current folder without it
  --help         this text`;

const started = Date.now();

/** A line for each step, with the time since the start. */
function say(line: string): void {
  const seconds = Math.floor((Date.now() - started) / 1000);
  const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  console.log(`${time.padStart(5)}  ${line}`);
}

const options = {
  here: { type: "boolean", default: false },
  stack: { type: "string" },
  out: { type: "string", default: "." },
  help: { type: "boolean", default: false },
} as const;

function readArguments() {
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n\n${USAGE}`);
  }
}

function writeReport(report: Report, output: Output): void {
  output.save("report/report.md", toMarkdown(report));
  output.save(
    "report/index.html",
    toHtml(report, (file) => output.read(file)),
  );
  output.publish();
}

async function report(): Promise<void> {
  const { help, here, stack, out } = readArguments();
  if (help) return console.log(USAGE);
  if (!here) throw new UsageError(USAGE);
  // npm runs a script at the checkout's root, wherever it was called.
  const folder = resolve(process.env.INIT_CWD ?? ".", out);
  const output = new Output(folder);
  try {
    const lab = await findLab(chooseStack(stack));
    await complete(browserStep, console.log);
    const browser = await openBrowser();
    try {
      writeReport(await reportHere(lab, browser, output, say), output);
    } finally {
      await browser.close();
    }
  } finally {
    output.discard();
  }
  say(`done: ${resolve(folder, "report/index.html")}`);
}

report().catch((error: Error) => {
  console.error(`\n${error.message}`);
  process.exit(error instanceof UsageError ? 2 : 1);
});
