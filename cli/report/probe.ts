/** A small steady load: shows which nodes answer, and whether a request is lost. */
import { request } from "node:http";

const EVERY_MS = 40;
const TIMEOUT_MS = 5000;

/** What became of the requests of one stretch of time. */
export interface Answers {
  sent: number;
  lost: number;
  /** By node. */
  answered: Record<string, number>;
}

export class Probe {
  private counts: Answers = { sent: 0, lost: 0, answered: {} };
  private readonly timer: NodeJS.Timeout;

  /** @param url of the balancer; each request is a new client there */
  constructor(url: string) {
    this.timer = setInterval(() => this.ask(url), EVERY_MS);
  }

  /** What was counted since the last time. */
  take(): Answers {
    const counts = this.counts;
    this.counts = { sent: 0, lost: 0, answered: {} };
    return counts;
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private ask(url: string): void {
    const end = (node?: string) => {
      this.counts.sent++;
      if (node === undefined) this.counts.lost++;
      else this.counts.answered[node] = (this.counts.answered[node] ?? 0) + 1;
    };
    const sent = request(url, { agent: false, timeout: TIMEOUT_MS });
    sent.on("timeout", () => sent.destroy(new Error("no answer")));
    sent.on("error", () => end());
    sent.on("response", (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
      response.on("error", () => undefined);
      response.on("close", () => end(readTag(response.statusCode, body)));
    });
    sent.end();
  }
}

function readTag(status: number | undefined, body: string): string | undefined {
  try {
    return status === 200 ? (JSON.parse(body) as { tag: string }).tag : undefined;
  } catch {
    return undefined; // cut off
  }
}
