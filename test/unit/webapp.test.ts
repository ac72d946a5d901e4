import { connect, type AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { createApp } from "../../images/webapp/src/app";

const app = createApp({ host: "s1", tag: "s1", ip: "10.0.0.1" });
let url: string;
beforeAll(async () => (url = await app.listen({ host: "127.0.0.1", port: 0 })));
afterAll(() => app.close());

interface Answer {
  id: string;
}

/** One visit: the answer and the cookie that came with it. */
async function visit(cookie = "") {
  const response = await fetch(url, { headers: { cookie } });
  const answer = (await response.json()) as Answer;
  return { response, answer, cookie: response.headers.get("set-cookie")?.split(";")[0] };
}

const setDelay = (body: string, type = "application/json") =>
  fetch(`${url}/delay`, { method: "POST", headers: { "content-type": type }, body });

test("GET / tells who answers and counts the views of a session", async () => {
  const first = await visit();
  const second = await visit(first.cookie);
  const { id } = first.answer;
  const answer = { hello: "world", ip: "10.0.0.1", host: "s1", tag: "s1", id };
  expect(first.answer).toEqual({ ...answer, sessionViews: 1 });
  expect(second.answer).toEqual({ ...answer, sessionViews: 2 });
  expect(first.cookie).toMatch(/^NODESESSID=/);
  expect(first.response.headers.get("x-backend-ip")).toBe("10.0.0.1");
});

test("another client has a session of its own", async () => {
  const [one, two] = [await visit(), await visit()];
  expect(one.answer.id).not.toBe(two.answer.id);
});

test("a session that was never made is not taken over from the client", async () => {
  const { answer } = await visit("NODESESSID=chosen");
  expect(answer).toMatchObject({ sessionViews: 1 });
  expect(answer.id).not.toBe("chosen");
});

test.each([
  ["GET", "/health", '{"status":"ok"}'],
  ["HEAD", "/", ""],
])("%s %s answers 200 and creates no session", async (method, path, body) => {
  const response = await fetch(url + path, { method });
  expect(response.status).toBe(200);
  expect(await response.text()).toBe(body);
  expect(response.headers.get("set-cookie")).toBeNull();
});

test.each(
  ["{}", "[]", "null", "5", '{"delay":1,"more":2}'].concat(
    ["-1", "60001", '"5"', "1.5", "null", "1e999"].map((delay) => `{"delay":${delay}}`),
  ),
)("POST /delay refuses %s", async (body) => {
  const response = await setDelay(body);
  expect(response.status).toBe(400);
  expect(await response.json()).toEqual({
    statusCode: 400,
    error: "Bad Request",
    message: 'the body has to be {"delay": <whole ms from 0 to 60000>}',
  });
});

test("POST /delay refuses what is no valid JSON", async () => {
  const response = await setDelay("slow");
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({
    message: "Body is not valid JSON but content-type is set to 'application/json'",
  });
});

test("POST /delay refuses what is not JSON", async () => {
  expect((await setDelay("delay=5", "application/x-www-form-urlencoded")).status).toBe(415);
});

test("POST /delay makes later answers slow, and not the health check", async () => {
  const elapsed = async (path: string) => {
    const started = performance.now();
    await fetch(url + path);
    return performance.now() - started;
  };
  const set = await setDelay('{"delay":200}');
  expect(await set.json()).toEqual({ delay: 200 });
  // Timers may fire a millisecond early.
  expect(await elapsed("/")).toBeGreaterThanOrEqual(199);
  expect(await elapsed("/health")).toBeLessThan(199);
  await setDelay('{"delay":0}');
});

test("a request that comes while the application stops, on a connection from before, is answered", async () => {
  const stopping = createApp({ host: "s1", tag: "s1", ip: "10.0.0.1" });
  await stopping.listen({ host: "127.0.0.1", port: 0 });
  const accepted = new Promise((resolve) => stopping.server.once("connection", resolve));
  const client = connect((stopping.server.address() as AddressInfo).port, "127.0.0.1");
  await accepted;
  const closed = stopping.close();
  while (stopping.server.listening) await new Promise(setImmediate);
  client.write("GET / HTTP/1.1\r\nHost: s1\r\n\r\n");
  const answer = await text(client);
  expect(answer).toMatch(/^HTTP\/1.1 200 OK\r\n/);
  expect(answer).toMatch(/^connection: close\r$/im);
  await closed;
});

test("an application that stops waits neither for a silent connection nor for one kept alive", async () => {
  const stopping = createApp({ host: "s1", tag: "s1", ip: "10.0.0.1" });
  const address = await stopping.listen({ host: "127.0.0.1", port: 0 });
  const body = JSON.stringify({ delay: 100 });
  const headers = { "content-type": "application/json" };
  await fetch(`${address}/delay`, { method: "POST", headers, body });
  const { port } = stopping.server.address() as AddressInfo;
  const silent = connect(port, "127.0.0.1");
  const busy = connect(port, "127.0.0.1");
  const received = new Promise((resolve) => stopping.server.once("request", resolve));
  busy.write("GET / HTTP/1.1\r\nHost: s1\r\n\r\n");
  await received;
  // Without help both would be open for more than the time that a test has.
  const [answer, unsaid] = await Promise.all([text(busy), text(silent), stopping.close()]);
  expect(answer).toMatch(/^HTTP\/1.1 200 OK\r\n/);
  expect(answer).toMatch(/^connection: close\r$/im);
  expect(unsaid).toBe("");
});
