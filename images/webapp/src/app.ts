import { randomBytes } from "node:crypto";
import { lookup } from "node:dns/promises";
import type { Socket } from "node:net";
import { hostname } from "node:os";
import cookie from "@fastify/cookie";
import session, { type SessionStore } from "@fastify/session";
import Fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
} from "fastify";
import { LRUCache } from "lru-cache";
import { createPage, type Identity, wantsPage, type Visit } from "./page";

declare module "fastify" {
  interface Session {
    views?: number;
  }
}

/** Longest delay that POST /delay takes, ms. */
const MAX_DELAY_MS = 60_000;
/** How long an app that stops waits for a first word on a connection. */
const SILENCE_MS = 500;
const SESSION_LIFETIME_MS = 30 * 60_000;
/** Most sessions of clients that came back, and most of clients that did not yet. */
const MAX_SESSIONS = 5_000;

/**
 * The IPv4 address of this container's name, which is the one in the lab's network: on a Swarm the first
 * of its interfaces may be another. 127.0.0.1 where the name has none.
 */
export async function findOwnAddress(): Promise<string> {
  return lookup(hostname(), 4).then(
    ({ address }) => address,
    () => "127.0.0.1",
  );
}

/**
 * Sessions in memory, bounded in number and age: a load test must not eat the node. A client that
 * sends no cookie back makes a session with each request; these push out each other, and not those
 * whose cookie came back once.
 */
function createSessionStore(): SessionStore {
  const createCache = () =>
    new LRUCache<string, Parameters<SessionStore["set"]>[1]>({
      max: MAX_SESSIONS,
      ttl: SESSION_LIFETIME_MS,
    });
  const [fresh, returned] = [createCache(), createCache()];
  return {
    set: (id, value, done) => {
      (returned.has(id) ? returned : fresh).set(id, value);
      done();
    },
    // Asked only for an id whose cookie has this process's signature.
    get: (id, done) => {
      const value = fresh.get(id);
      if (value !== undefined) {
        fresh.delete(id);
        returned.set(id, value);
      }
      done(null, returned.get(id) ?? null);
    },
    destroy: (id, done) => {
      fresh.delete(id);
      returned.delete(id);
      done();
    },
  };
}

/**
 * The delay in the body of POST /delay, undefined unless it is that and nothing else. Checked by
 * hand: a schema has Fastify compile validators at each start, a fifth of what a start costs.
 */
function readDelay(body: unknown): number | undefined {
  if (typeof body !== "object" || body === null || Array.isArray(body)) return undefined;
  const { delay, ...rest } = body as Record<string, unknown>;
  const isDelay =
    typeof delay === "number" && Number.isInteger(delay) && delay >= 0 && delay <= MAX_DELAY_MS;
  return isDelay && Object.keys(rest).length === 0 ? delay : undefined;
}

/**
 * Has close() end when the requests in flight are answered. By itself it closes only the connections
 * that are idle at that moment: one with an answer to come would be kept alive after it, and one on
 * which nothing was ever sent, as HAProxy and browsers open them ahead, kept for a minute.
 */
function closeSoon(app: FastifyInstance): void {
  const connections = new Set<Socket>();
  app.server.on("connection", (socket: Socket) => {
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
  });
  let isClosing = false;
  app.addHook("preClose", (done) => {
    isClosing = true;
    const closeSilent = () => {
      for (const socket of connections) if (socket.bytesRead === 0) socket.destroy();
    };
    setTimeout(closeSilent, SILENCE_MS).unref();
    done();
  });
  app.addHook("onSend", async (_request, reply) => {
    if (isClosing) reply.header("connection", "close");
  });
}

/** What a request says of its way here: HAProxy sets both headers, the second for sticky sessions. */
function wayOf({ headers }: FastifyRequest): Visit["way"] {
  if (headers["x-forwarded-for"] === undefined) return "direct";
  return headers["x-sticky-session"] === undefined ? "balanced" : "sticky";
}

/**
 * In place of Fastify's own, which compile validators and serializers of schemas: no route here has a
 * schema, and to load them is a quarter of what a start costs. bundles/ leaves them out.
 */
const NO_SCHEMAS: FastifyServerOptions["schemaController"] = {
  compilersFactory: { buildValidator: () => refuseSchema, buildSerializer: () => refuseSchema },
};

function refuseSchema(): never {
  throw new Error("no route has a schema: bundles/imagePrograms.cjs leaves out what compiles them");
}

/** The lab's web application, not yet listening. */
export function createApp(identity: Identity): FastifyInstance {
  let delayMs = 0;
  const page = createPage(identity);
  const app = Fastify({
    schemaController: NO_SCHEMAS,
    exposeHeadRoutes: false,
    forceCloseConnections: "idle",
    // What still arrives on a connection from before is answered: a 503 would reach the client.
    return503OnClosing: false,
  });

  app.addHook("onSend", async (_request, reply) => {
    reply.header("x-backend-ip", identity.ip);
  });
  closeSoon(app);

  // HAProxy's check. It says whether the process serves, so a slow node (/delay) stays in rotation.
  app.get("/health", () => ({ status: "ok" }));

  app.post("/delay", (request, reply) => {
    const delay = readDelay(request.body);
    if (delay === undefined) {
      const message = `the body has to be {"delay": <whole ms from 0 to ${MAX_DELAY_MS}>}`;
      return reply.code(400).send({ statusCode: 400, error: "Bad Request", message });
    }
    delayMs = delay;
    return { delay };
  });

  const answerLate = async () => {
    if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
  };

  /** Says what kind of answer is to come. @returns whether it is the page */
  const negotiate = ({ headers }: FastifyRequest, reply: FastifyReply): boolean => {
    reply.header("vary", "accept");
    if (!wantsPage(headers.accept)) return false;
    reply.type("text/html; charset=utf-8").header("content-security-policy", page.policy);
    // It counts: going back to it is another view, and no cache may give it to somebody else.
    reply.header("cache-control", "no-store");
    return true;
  };

  // A HEAD is a probe, not a visit: it is answered outside the part that knows sessions.
  app.head("/", { onRequest: answerLate }, (request, reply) => {
    negotiate(request, reply);
    return reply.send();
  });

  app.register(async (visits) => {
    await visits.register(cookie);
    await visits.register(session, {
      // Sessions live in this process alone, and so does the key that signs their cookies.
      secret: randomBytes(32).toString("base64"),
      cookieName: "NODESESSID",
      cookie: { secure: false, httpOnly: true, sameSite: "lax", maxAge: SESSION_LIFETIME_MS },
      saveUninitialized: false,
      store: createSessionStore(),
    });
    visits.get("/", { onRequest: answerLate }, (request, reply) => {
      const sessionViews = (request.session.views ?? 0) + 1;
      request.session.views = sessionViews;
      if (negotiate(request, reply)) {
        const { host = "" } = request.headers;
        return reply.send(page.html({ sessionViews, way: wayOf(request), host }));
      }
      return {
        hello: "world",
        ip: identity.ip,
        host: identity.host,
        tag: identity.tag,
        sessionViews,
        id: request.session.sessionId,
      };
    });
  });

  return app;
}
