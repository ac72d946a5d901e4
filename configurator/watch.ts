import type { Happening, LabEvent, Views, WatchReply } from "./protocol/watch";
import { readTraffic } from "./haproxyProcess";

/** Time between two samples. */
const SAMPLE_EVERY_MS = 400;
/** The same for a moment after something happened, so that its course can be told. */
const SAMPLE_CLOSELY_EVERY_MS = 50;
const CLOSELY_FOR_MS = 3000;
/** How many events are kept for those who come later. */
const MAX_EVENTS = 100;
const MAX_DIFF_LINES = 60;

/** Takes one line. */
export type Send = (reply: WatchReply) => void;

/**
 * What people who watch the lab are told. HAProxy is asked for its counters while somebody watches,
 * and not otherwise.
 */
export class Watch {
  private readonly run = Date.now().toString(36);
  private readonly events: LabEvent[] = [];
  private count = 0;
  private lastViews = "";
  private lastNote = "";
  private readonly watchers = new Set<Send>();
  private closelyUntil = 0;
  private timer?: NodeJS.Timeout;
  private isSampling = false;

  /** Notes what happened, and has it told. */
  tell(happening: Happening): void {
    if (happening.what === "note") {
      // What goes wrong at each look is said once.
      if (happening.text === this.lastNote) return;
      this.lastNote = happening.text;
    }
    const event = { id: `${this.run}.${this.count++}`, at: Date.now(), ...happening };
    this.events.push(event);
    if (this.events.length > MAX_EVENTS) this.events.shift();
    this.send({ event });
    this.closelyUntil = Date.now() + CLOSELY_FOR_MS;
    this.sampleIn(0);
  }

  /** Tells what is there now, where that is news. */
  see(views: Views): void {
    if (this.watchers.size === 0) return;
    const text = JSON.stringify(views);
    if (text === this.lastViews) return;
    this.lastViews = text;
    this.send({ views });
  }

  /** Tells one more watcher: the events so far, what is there, and from now on what comes. */
  async serve(send: Send, views: () => Promise<Views>, ended: Promise<void>): Promise<void> {
    for (const event of this.events) send({ event });
    this.watchers.add(send);
    this.lastViews = "";
    this.sampleIn(0);
    try {
      send({ views: await views() });
      await ended;
    } finally {
      this.watchers.delete(send);
      if (this.watchers.size === 0) clearTimeout(this.timer);
    }
  }

  private send(reply: WatchReply): void {
    for (const send of this.watchers) send(reply);
  }

  private sampleIn(ms: number): void {
    if (this.watchers.size === 0 || this.isSampling) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.sample(), ms);
  }

  private async sample(): Promise<void> {
    this.isSampling = true;
    const sample = await readTraffic();
    this.isSampling = false;
    this.send({ sample });
    const isClose = Date.now() < this.closelyUntil;
    this.sampleIn(isClose ? SAMPLE_CLOSELY_EVERY_MS : SAMPLE_EVERY_MS);
  }
}

/** The lines by which one text differs from another: those that went, then those that came. */
export function diffLines(before: string, after: string): string[] {
  const minus = (lines: string[], others: string[]) => {
    const left = new Map<string, number>();
    for (const line of others) left.set(line, (left.get(line) ?? 0) + 1);
    return lines.filter((line) => {
      const count = left.get(line) ?? 0;
      left.set(line, count - 1);
      return count <= 0;
    });
  };
  const [old, now] = [before.split("\n"), after.split("\n")];
  const diff = [
    ...minus(old, now).map((line) => `- ${line.trim()}`),
    ...minus(now, old).map((line) => `+ ${line.trim()}`),
  ];
  const more = diff.length - MAX_DIFF_LINES;
  return more > 0 ? [...diff.slice(0, MAX_DIFF_LINES), `… and ${more} more`] : diff;
}
