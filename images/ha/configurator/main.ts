import { createConnection, createServer, type Socket } from "node:net";
import { rm } from "node:fs/promises";
import type { ControlReply, ControlRequest } from "../../../haproxy/control";
import { Configurator } from "./configurator";
import { paths } from "./paths";

/** How often the configurator looks again although nobody poked it. */
const RECONCILE_EVERY_MS = 10_000;

/** All the client sends before it ends its side; ours stays open for the reply. */
function readRequest(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let request = "";
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => (request += chunk));
    socket.on("end", () => resolve(request)).on("error", reject);
  });
}

async function handle(configurator: Configurator, socket: Socket): Promise<void> {
  const send = (reply: ControlReply) => void socket.write(`${JSON.stringify(reply)}\n`);
  try {
    const request = JSON.parse(await readRequest(socket)) as ControlRequest;
    if (request.do === "status") {
      send({ done: true, status: await configurator.status() });
    } else {
      await configurator.push(request.declaration, request.deadlineMs, (progress) =>
        send({ progress }),
      );
      send({ done: true });
    }
  } catch (error) {
    console.error((error as Error).message);
    send({ error: (error as Error).message });
  }
  socket.end();
}

async function serve(): Promise<void> {
  const configurator = new Configurator();
  const reconcile = (reason: string) =>
    configurator.reconcile(reason).catch((error: Error) => console.error(error.message));
  await rm(paths.control, { force: true });
  // allowHalfOpen: the client ends its side to mark the end of the request, then reads on.
  createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", (error) => console.error(`control socket: ${error.message}`));
    void handle(configurator, socket);
  }).listen(paths.control, () => console.log("ready"));
  await reconcile("start");
  setInterval(() => void reconcile("interval"), RECONCILE_EVERY_MS);
}

/** The other end of the control socket: standard input is the request, standard output the reply. */
function call(): void {
  const socket = createConnection({ path: paths.control, allowHalfOpen: true });
  socket.on("error", (error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
  process.stdin.pipe(socket);
  socket.pipe(process.stdout);
}

const command = process.argv[2];
if (command === "serve") void serve();
else if (command === "call") call();
else {
  console.error("usage: configurator serve | configurator call <request.json");
  process.exitCode = 2;
}
