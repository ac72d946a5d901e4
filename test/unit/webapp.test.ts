import { createHash } from "node:crypto";
import { connect, type AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { createApp } from "../../images/webapp/src/app";
import { hueOf, wantsPage } from "../../images/webapp/src/page";

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

const CHROMIUM =
  "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";

test.each<[string | undefined, boolean]>([
  [CHROMIUM, true],
  ["text/html", true],
  ["TEXT/HTML ; Q=0.5", true],
  ["text/html, */*; q=0.01", true],
  [undefined, false],
  ["", false],
  ["*/*", false],
  ["application/json", false],
  ["text/*", false],
  ["text/html;q=0", false],
  ["text/html;q=none", false],
  ["application/json, text/html;q=0.9", false],
  ["application/json, text/html", false],
])("Accept: %s is the wish of a page: %s", (accept, wanted) => {
  expect(wantsPage(accept)).toBe(wanted);
});

test("a program gets the JSON, byte for byte, and a cache is told what it depends on", async () => {
  const response = await fetch(url, { headers: { accept: "*/*" } });
  const body = await response.text();
  const { id } = JSON.parse(body) as Answer;
  expect(body).toBe(
    `{"hello":"world","ip":"10.0.0.1","host":"s1","tag":"s1","sessionViews":1,"id":"${id}"}`,
  );
  expect(response.headers.get("content-type")).toBe("application/json; charset=utf-8");
  expect(response.headers.get("vary")).toBe("accept");
});

/** What a person reads on the page. */
const readPage = (html: string) =>
  html
    .replace(/<style>.*<\/style>/s, "")
    .split("\n")
    .map((line) => line.replace(/<[^>]*>/g, "").trim())
    .filter(Boolean);

const STICKY = "Sticky: HAProxy's cookie SERVERID brings this browser back to this node.";
const NOT_STICKY =
  "Not sticky: HAProxy gives each request to the next node, and each node counts its own sessions.";
const DIRECT = "No balancer was on the way: this is the node's own port.";
test.each<[string, Record<string, string>, string[]]>([
  ["direct", {}, [DIRECT, "Ask the balancer instead of the node. ", "curl http://127.0.0.1/"]],
  ["balanced", { "x-forwarded-for": "::1" }, [NOT_STICKY, "", "curl http://HOST/"]],
  [
    "sticky",
    { "x-forwarded-for": "::1", "x-sticky-session": "SERVERID" },
    [STICKY, "", "curl http://HOST/"],
  ],
])("a browser gets a page, and one session with the JSON: %s", async (_, way, lines) => {
  const { cookie = "" } = await visit();
  const response = await fetch(url, { headers: { ...way, cookie, accept: CHROMIUM } });
  const html = await response.text();
  const [session, advice, command] = lines;
  expect(readPage(html)).toEqual([
    "s1: view 2",
    "s1",
    "answers from 10.0.0.1, host name s1",
    "This session",
    "2 views on this node",
    session,
    "See the balancing",
    `${advice}A client without cookies is new each time:`,
    command.replace("HOST", url.replace("http://", "")),
    "A private window is a new client too. curl gets the same answer as JSON.",
  ]);
  const { headers } = response;
  expect({
    type: headers.get("content-type"),
    vary: headers.get("vary"),
    cache: headers.get("cache-control"),
    backend: headers.get("x-backend-ip"),
  }).toEqual({
    type: "text/html; charset=utf-8",
    vary: "accept",
    cache: "no-store",
    backend: "10.0.0.1",
  });
  const style = createHash("sha256").update(/<style>(.*)<\/style>/s.exec(html)![1]);
  expect(headers.get("content-security-policy")).toBe(
    `default-src 'none'; img-src data:; style-src 'sha256-${style.digest("base64")}'; ` +
      "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  );
});

test("a HEAD says what a browser would get, without a session", async () => {
  const { headers } = await fetch(url, { method: "HEAD", headers: { accept: CHROMIUM } });
  expect(headers.get("content-type")).toBe("text/html; charset=utf-8");
  expect(headers.get("vary")).toBe("accept");
  expect(headers.get("set-cookie")).toBeNull();
});

test("names and the Host header are text on the page, never markup", async () => {
  const evil = `<script>alert("1")</script>&'`;
  const hostile = createApp({ host: evil, tag: evil, ip: evil });
  const headers = { accept: CHROMIUM, host: evil, "x-forwarded-for": evil };
  const { body } = await hostile.inject({ url: "/", headers });
  const shown = "&#60;script&#62;alert(&#34;1&#34;)&#60;/script&#62;&#38;&#39;";
  expect(body.split(shown)).toHaveLength(6);
  expect(body).not.toContain("<script");
  await hostile.close();
});

test("a node's colour depends on its name alone, and neighbours' are far apart", () => {
  const hues = ["s1", "s2", "s3", "s1"].map(hueOf);
  expect(hues).toEqual([353, 130, 268, 353]);
});

test("another client has a session of its own", async () => {
  const [one, two] = [await visit(), await visit()];
  expect(one.answer.id).not.toBe(two.answer.id);
});

test("clients that send no cookie push out no session of one that does", async () => {
  const flooded = createApp({ host: "s1", tag: "s1", ip: "10.0.0.1" });
  const get = (cookie = "") => flooded.inject({ url: "/", headers: { cookie } });
  const { headers } = await get();
  const cookie = String(headers["set-cookie"]).split(";")[0];
  await get(cookie);
  for (let i = 0; i < 10_500; i++) await get();
  expect((await get(cookie)).json()).toMatchObject({ sessionViews: 3 });
  await flooded.close();
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
