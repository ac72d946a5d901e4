/** `npm run live [-- --port N] [--stack NAME]`: a page on 127.0.0.1 that shows the lab as it moves. */
import { findLab, requireBalancers } from "./lab";
import { followLab } from "./live/follow";
import { LiveServer } from "./live/server";
import { type LabStates, viewOf } from "./live/view";
import { parseCommand, runCommand, UsageError } from "./command";
import { chooseStack } from "./stack";

const USAGE = `usage: npm run live [-- --port PORT] [--stack NAME]

Serves a page on 127.0.0.1 that shows the lab as it moves: requests, health, members, the last changes
of haproxy.cfg. It only looks. Ctrl-C ends it.

  --port PORT   the page's port; a free one without it
  --stack NAME  the lab's stack; the selected one without it`;

async function live(port: number, stack: string): Promise<void> {
  requireBalancers(await findLab(stack));
  const end = new AbortController();
  let states: LabStates = {};
  const server = new LiveServer(() => viewOf(stack, states));
  console.log(`The lab of stack ${stack}, live: ${await server.listen(port)}`);
  console.log("Ctrl-C ends it.");
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => end.abort());
  const show = (next: LabStates) => {
    states = next;
    server.changed();
  };
  await followLab(() => findLab(stack), show, end.signal);
  server.close();
}

/** @throws UsageError when it is not a port */
export function readPort(text: string | undefined): number {
  if (text === undefined) return 0;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
  if (port >= 1 && port <= 65535) return port;
  throw new UsageError(`--port: got ${JSON.stringify(text)}, expected a port from 1 to 65535`);
}

if (require.main === module) {
  runCommand(async () => {
    const options = { port: { type: "string" }, stack: { type: "string" } } as const;
    const { port, stack } = parseCommand(USAGE, { options }).values;
    await live(readPort(port), chooseStack(stack));
  });
}
