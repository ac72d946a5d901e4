/**
 * `npm run status [-- --watch | --json] [--stack NAME]`: each node as it is declared, in gossip, in /nodes, in
 * haproxy.cfg and in HAProxy.
 */
import { compareLab, findLab, requireBalancers } from "./lab";
import { followLab } from "./live/follow";
import { drawText } from "./live/terminal";
import { type LabStates, viewOf } from "./live/view";
import { parseCommand, runCommand, UsageError } from "./command";
import { chooseStack } from "./stack";
import { formatTable } from "./table";

const USAGE = `usage: npm run status [-- --watch | --json] [--stack NAME]

Shows each node as every part of the lab sees it. It ends with 0 when all agree, with 1 when not, with 3
when it could not look.

  --watch       go on, with the requests a second and what happens; Ctrl-C ends it
  --json        the same for a program: stack, nodes, disagreements
  --stack NAME  the lab's stack; the selected one without it`;

const REDRAW_EVERY_MS = 250;
const [CLEAR, HOME, CLEAR_LINE, CLEAR_BELOW] = ["\x1b[2J", "\x1b[H", "\x1b[K", "\x1b[J"];

/** Draws the lab in place as it moves, until Ctrl-C. */
async function watch(stack: string): Promise<void> {
  requireBalancers(await findLab(stack));
  const end = new AbortController();
  process.once("SIGINT", () => end.abort()).once("SIGTERM", () => end.abort());
  const { stdout } = process;
  if (stdout.isTTY) stdout.write(CLEAR);
  let drawnAt = 0;
  const draw = (states: LabStates) => {
    if (Date.now() < drawnAt + REDRAW_EVERY_MS) return;
    drawnAt = Date.now();
    const { columns = 80, rows = 24, isTTY } = stdout;
    const isColoured = isTTY && !process.env.NO_COLOR;
    const lines = drawText(viewOf(stack, states), { columns, rows, isColoured });
    const eol = isTTY ? `${CLEAR_LINE}\n` : "\n";
    const text = lines.map((line) => line + eol).join("");
    stdout.write(isTTY ? HOME + text + CLEAR_BELOW : `${text}\n`);
  };
  await followLab(() => findLab(stack), draw, end.signal);
}

/** How the command ends when it could not look. */
const COULD_NOT_LOOK = 3;

async function status(stack: string, isJson: boolean): Promise<number> {
  const { header, rows, disagreements } = await compareLab(await findLab(stack));
  if (isJson) {
    const nodes = rows.map((row) => Object.fromEntries(row.map((cell, i) => [header[i], cell])));
    console.log(JSON.stringify({ stack, nodes, disagreements }, undefined, 2));
  } else {
    const verdict = disagreements.length > 0 ? disagreements : ["All agree."];
    console.log([`stack ${stack}`, "", ...formatTable(header, rows), "", ...verdict].join("\n"));
  }
  return disagreements.length > 0 ? 1 : 0;
}

runCommand(async () => {
  const options = {
    stack: { type: "string" },
    watch: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  } as const;
  const { values } = parseCommand(USAGE, { options });
  if (values.watch && values.json) throw new UsageError(`--json: not with --watch\n\n${USAGE}`);
  const stack = chooseStack(values.stack);
  return values.watch ? watch(stack) : status(stack, values.json);
}, COULD_NOT_LOOK);
