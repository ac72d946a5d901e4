import { createServer, type Socket } from "node:net";
import { rmSync } from "node:fs";
import type { ControlReply, ControlRequest } from "./protocol/control";
import { Configurator } from "./configurator";
import { paths } from "./paths";
import type { Progress } from "./readiness";

/** A watcher that reads so much slower than it is told is let go. */
const MAX_UNREAD_BYTES = 2 ** 22;

/** A line, or all the client sends before it ends its side; ours stays open for the reply. */
function readRequest(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let request = "";
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => {
      request += chunk;
      if (request.endsWith("\n")) resolve(request);
    });
    socket.on("end", () => resolve(request)).on("error", reject);
  });
}

/** Tells a watcher what comes until its side ends, as it does when its connection breaks. */
function serveWatch(configurator: Configurator, socket: Socket): Promise<void> {
  const ended = new Promise<void>((resolve) => {
    if (socket.readableEnded) resolve();
    socket.on("end", resolve).on("close", resolve);
  });
  return configurator.serveWatch((reply) => {
    socket.write(`${JSON.stringify(reply)}\n`);
    if (socket.writableLength > MAX_UNREAD_BYTES) socket.destroy();
  }, ended);
}

async function answerControl(configurator: Configurator, socket: Socket): Promise<void> {
  const send = (reply: ControlReply) => void socket.write(`${JSON.stringify(reply)}\n`);
  const onProgress: Progress = (progress, waitingFor) => send({ progress, waitingFor });
  try {
    const request = JSON.parse(await readRequest(socket)) as ControlRequest;
    if (request.do === "status") {
      send({ done: true, status: await configurator.status() });
    } else if (request.do === "cluster") {
      send({ done: true, cluster: await configurator.cluster() });
    } else if (request.do === "balancers") {
      const [cluster, status, balancers] = await Promise.all([
        configurator.cluster(),
        configurator.status(),
        configurator.balancers(),
      ]);
      send({ done: true, cluster, status, balancers });
    } else if (request.do === "watch") {
      await serveWatch(configurator, socket);
    } else if (request.do === "awaitServing") {
      await configurator.awaitServing(request, onProgress);
      send({ done: true });
    } else {
      await configurator.push(request, onProgress);
      send({ done: true });
    }
  } catch (error) {
    configurator.complain((error as Error).message);
    send({ error: (error as Error).message });
  }
  socket.end();
}

function serve(): void {
  const configurator = new Configurator();
  rmSync(paths.control, { force: true });
  // allowHalfOpen: a client ends its side to mark the end of the request, then reads on.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", (error) => console.error(`${paths.control}: ${error.message}`));
    void answerControl(configurator, socket);
  });
  server.listen(paths.control);
  void configurator.start();
  console.log("ready");
}

serve();
