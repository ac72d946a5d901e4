/**
 * `npm run status [-- --watch] [--stack NAME]`: each node as it is declared, in gossip, in /nodes, in
 * haproxy.cfg and in HAProxy. Ends with 0 when all agree.
 */
import { parseArgs } from "node:util";
import { findLab, readCluster, requireBalancer } from "./lab";
import { followLab } from "./live/follow";
import { viewOf } from "./live/model";
import { drawText } from "./live/terminal";
import { chooseStack, runCommand } from "./stack";
import { compareViews } from "./statusPlan";
import { formatTable } from "./table";

const USAGE = `usage: npm run status [-- --watch] [--stack NAME]

Shows each node as every part of the lab sees it, and ends with 0 when all agree, with 1 when not.

  --watch       go on, with the requests a second and what happens; Ctrl-C ends it
  --stack NAME  the lab's stack; the selected one without it`;

const REDRAW_EVERY_MS = 250;
const [CLEAR, HOME, CLEAR_LINE, CLEAR_BELOW] = ["\x1b[2J", "\x1b[H", "\x1b[K", "\x1b[J"];

/** Draws the lab in place as it moves, until Ctrl-C. */
async function watch(stack: string): Promise<void> {
  const { containerName } = requireBalancer(await findLab(stack));
  const end = new AbortController();
  process.once("SIGINT", () => end.abort()).once("SIGTERM", () => end.abort());
  const { stdout } = process;
  if (stdout.isTTY) stdout.write(CLEAR);
  let drawnAt = 0;
  const draw = (state: Parameters<typeof viewOf>[1]) => {
    if (Date.now() < drawnAt + REDRAW_EVERY_MS) return;
    drawnAt = Date.now();
    const { columns = 80, rows = 24, isTTY } = stdout;
    const isColoured = isTTY && !process.env.NO_COLOR;
    const lines = drawText(viewOf(stack, state), { columns, rows, isColoured });
    const eol = isTTY ? `${CLEAR_LINE}\n` : "\n";
    const text = lines.map((line) => line + eol).join("");
    stdout.write(isTTY ? HOME + text + CLEAR_BELOW : `${text}\n`);
  };
  await followLab(containerName, draw, end.signal);
}

async function status(stack: string): Promise<number> {
  const lab = await findLab(stack);
  const cluster = await readCluster(requireBalancer(lab));
  const { header, rows, disagreements } = compareViews(cluster, lab.containers);
  const verdict = disagreements.length > 0 ? disagreements : ["All agree."];
  console.log([`stack ${stack}`, "", ...formatTable(header, rows), "", ...verdict].join("\n"));
  return disagreements.length > 0 ? 1 : 0;
}

runCommand(async () => {
  const options = {
    stack: { type: "string" },
    watch: { type: "boolean" },
    help: { type: "boolean", short: "h" },
  } as const;
  const { values } = parseArgs({ options });
  if (values.help) return console.log(USAGE);
  const stack = chooseStack(values.stack);
  return values.watch ? watch(stack) : status(stack);
});
