import { hostname } from "node:os";
import { createApp, findOwnAddress } from "./app";

const PORT = 3000;

const host = hostname();
const tag = process.env.TAG ?? host;
const app = createApp({ host, tag, ip: findOwnAddress() });

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

app.listen({ host: "0.0.0.0", port: PORT }).then(
  () => console.log(`${tag} listens on port ${PORT}`),
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);
