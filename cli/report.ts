/** `npm run report`: the course's deliverables, collected: `logs/` and `report/`. */
import { constants } from "node:os";
import { resolve } from "node:path";
import { parseCommand, UsageError } from "./command";
import { browserStep, openBrowser } from "./browser";
import { findLab } from "./lab";
import { describeWalk } from "./report/describe";
import type { Document } from "./report/document";
import { reportHere } from "./report/here";
import { toHtml } from "./report/html";
import { toMarkdown } from "./report/markdown";
import { Output } from "./report/output";
import { withOwnLab } from "./report/ownLab";
import { TASKS, type Task } from "./report/tasks";
import { nodesFor, walk } from "./report/walk";
import { setUp } from "./setup";
import { complete } from "./setup/step";
import { chooseStack } from "./stack";

const USAGE = `usage: npm run report [-- --task N | --here [--stack STACK]] [--out DIR]

Goes through the course's tasks on a lab of its own, which is taken down at the end, and writes
DIR/logs with the evidence of each task and DIR/report with report.md and index.html.

  --task N       one task, 0 to ${TASKS.length - 1}, instead of all
  --here         collect the evidence of the lab that runs now; changes nothing in it
  --stack STACK  the lab for --here; the selected stack without it
  --out DIR      where report/ and logs/ go; the current folder without it
`;

const began = Date.now();

/** A line for each step, with the time since the start. */
function say(line: string): void {
  const seconds = Math.floor((Date.now() - began) / 1000);
  const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  console.log(`${time.padStart(5)}  ${line}`);
}

const options = {
  task: { type: "string" },
  here: { type: "boolean", default: false },
  stack: { type: "string" },
  out: { type: "string", default: "." },
} as const;

function readArguments() {
  const { values } = parseCommand(USAGE, { options });
  const refuse = (reason: string) => new UsageError(`${reason}\n\n${USAGE}`);
  if (values.here && values.task !== undefined) throw refuse("--task: not with --here");
  if (!values.here && values.stack !== undefined) throw refuse("--stack: only with --here");
  return { ...values, tasks: chooseTasks(values.task) };
}

function chooseTasks(asked: string | undefined): Task[] {
  const tasks = TASKS.filter(({ number }) => asked === undefined || String(number) === asked);
  if (tasks.length > 0) return tasks;
  throw new UsageError(
    `--task: got ${asked}, expected a number from 0 to ${TASKS.length - 1}\n\n${USAGE}`,
  );
}

/** The command was told to end. */
class Interruption extends Error {
  constructor(readonly exitCode: number) {
    super("Interrupted: nothing is left of this report.");
  }
}

/** Aborts at the first of the signals that ask a command to end; there is something to take down. */
function abortOnSignals(): AbortSignal {
  const controller = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(name, () => {
      if (!controller.signal.aborted) say("interrupted: please wait until the lab is taken down");
      controller.abort(new Interruption(128 + constants.signals[name]));
    });
  }
  return controller.signal;
}

async function report(): Promise<void> {
  const { here, stack, out, tasks } = readArguments();
  // npm runs a script at the checkout's root, wherever it was called.
  const folder = resolve(process.env.INIT_CWD ?? ".", out);
  const output = new Output(folder);
  try {
    const made = here ? await collectHere(stack, output) : await goThrough(tasks, output);
    output.save("report/report.md", toMarkdown(made));
    const page = toHtml(made, (file) => output.read(file));
    output.save("report/index.html", page);
    output.publish();
  } finally {
    output.discard();
  }
  say(`done: ${resolve(folder, "report/index.html")}`);
}

async function collectHere(stack: string | undefined, output: Output): Promise<Document> {
  const lab = await findLab(chooseStack(stack));
  await complete(browserStep, console.log);
  const browser = await openBrowser();
  try {
    return await reportHere(lab, browser, output, say);
  } finally {
    await browser.close();
  }
}

async function goThrough(tasks: Task[], output: Output): Promise<Document> {
  await setUp();
  await complete(browserStep, console.log);
  const signal = abortOnSignals();
  const browser = await openBrowser();
  try {
    const own = { nodeCount: nodesFor(tasks), signal, say };
    const records = await withOwnLab(own, (lab) =>
      walk(tasks, { lab, browser, output, signal, say }),
    );
    signal.throwIfAborted();
    return describeWalk(records, new Date(began));
  } finally {
    await browser.close();
  }
}

report().catch((error: Error) => {
  console.error(`\n${error.message}`);
  const code = error instanceof UsageError ? 2 : 1;
  process.exit(error instanceof Interruption ? error.exitCode : code);
});
