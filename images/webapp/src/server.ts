import { hostname } from "node:os";
import { APP_PORT } from "../../../config/ports";
import { createApp, findOwnAddress } from "./app";

async function serve(): Promise<void> {
  const host = hostname();
  const tag = process.env.TAG ?? host;
  const app = createApp({ host, tag, ip: await findOwnAddress() });

  // What changes something is also noted as it comes: an answer that fails is no sign that it did not.
  app.addHook("onRequest", (request, _reply, done) => {
    if (request.method === "POST") console.log(`${request.method} ${request.url} received`);
    done();
  });

  app.addHook("onResponse", (request, reply, done) => {
    if (request.url !== "/health") {
      const took = reply.elapsedTime.toFixed(1);
      console.log(`${request.method} ${request.url} ${reply.statusCode} ${took} ms`);
    }
    done();
  });

  // Requests in flight are answered before the process ends; new ones go to another node.
  process.once("SIGTERM", () => {
    console.log("stopping");
    void app.close().then(() => process.exit(0));
  });

  await app.listen({ host: "0.0.0.0", port: APP_PORT });
  console.log(`${tag} listens on port ${APP_PORT}`);
}

serve().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
