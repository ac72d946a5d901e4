/** The server behind `npm run live`: one page, and the stream of what it shows. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { join } from "node:path";
import type { LabView } from "./view";

/** The shortest time between two pictures, ms. */
const PICTURE_EVERY_MS = 100;

const FILES: Record<string, [file: string, type: string]> = {
  "/": ["page.html", "text/html"],
  "/page.css": ["page.css", "text/css"],
  "/page.js": ["page.js", "text/javascript"],
};

const HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "cache-control": "no-store",
};

/** What this machine calls itself; a page of another name's that leads here may not read ours. */
const HOST = /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/;

/** The page's server. It only tells. */
export class LiveServer {
  private readonly browsers = new Set<ServerResponse>();
  private readonly server: Server;
  private timer?: NodeJS.Timeout;
  private nextAt = 0;

  /** @param view makes the picture as it is now */
  constructor(private readonly view: () => LabView) {
    this.server = createServer((request, response) => this.answer(request, response));
  }

  /**
   * @param port 0 for a free one
   * @returns where the page is
   * @throws Error that names the port when it can't be had
   */
  async listen(port: number): Promise<string> {
    this.server.listen(port, "127.0.0.1");
    try {
      await once(this.server, "listening");
    } catch (error) {
      const isBusy = (error as NodeJS.ErrnoException).code === "EADDRINUSE";
      const why = isBusy ? "something else listens there" : (error as Error).message;
      throw new Error(
        `--port: got ${port}, expected a free port of 127.0.0.1 (${why}); ` +
          "without --port a free one is taken",
        { cause: error },
      );
    }
    const address = this.server.address();
    return `http://127.0.0.1:${typeof address === "object" ? address?.port : port}/`;
  }

  close(): void {
    clearTimeout(this.timer);
    this.server.close();
    this.server.closeAllConnections();
  }

  /** Shows the picture anew, soon: many changes at once are one picture. */
  changed(): void {
    if (this.browsers.size === 0) return;
    this.timer ??= setTimeout(
      () => {
        this.timer = undefined;
        this.nextAt = Date.now() + PICTURE_EVERY_MS;
        const text = draw(this.view());
        // Each message is the whole picture: one that a slow browser misses is made good by the next.
        for (const browser of this.browsers) if (!browser.writableNeedDrain) browser.write(text);
      },
      Math.max(0, this.nextAt - Date.now()),
    );
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    const { method, url = "", headers } = request;
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    if (!HOST.test(headers.host ?? "")) return refuse(response, 403, "this is 127.0.0.1's page");
    if (method !== "GET" && method !== "HEAD") return refuse(response, 405, "it is only read");
    const path = url.split("?")[0];
    if (path === "/events" && method === "GET") return this.stream(response);
    if (!Object.hasOwn(FILES, path)) return refuse(response, 404, "there is no such page");
    const [file, type] = FILES[path];
    response.setHeader("content-type", `${type}; charset=utf-8`);
    response.end(method === "HEAD" ? undefined : readFileSync(join(__dirname, file)));
  }

  private stream(response: ServerResponse): void {
    response.setHeader("content-type", "text/event-stream");
    response.write(`retry: 500\n${draw(this.view())}`);
    this.browsers.add(response);
    response.on("drain", () => this.changed());
    response.on("close", () => this.browsers.delete(response));
  }
}

const draw = (view: LabView) => `data: ${JSON.stringify(view)}\n\n`;

function refuse(response: ServerResponse, status: number, why: string): void {
  response.statusCode = status;
  response.setHeader("content-type", "text/plain; charset=utf-8");
  response.end(`${why}\n`);
}
