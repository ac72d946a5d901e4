import { appendFileSync, copyFileSync, statSync, truncateSync } from "node:fs";
import { paths } from "./paths";
import type { GossipEvent } from "./serf";

const MAX_BYTES = 2 ** 20;
const MAX_WORD_BYTES = 200;

/**
 * A line for each member into /var/log/serf.log, as images/base/rootfs/usr/local/bin/serf-event writes it in a
 * node.
 */
export function logEvent(
  { event, members }: GossipEvent,
  { serfLog, oldSerfLog }: Record<"serfLog" | "oldSerfLog", string> = paths,
): void {
  const at = new Date().toISOString().replace(/\.\d+/, "");
  const lines = members.map(({ name, address, role, boot }) => {
    const fields = Object.entries({ name, address, role, boot });
    return [at, event, ...fields.map(([key, value]) => `${key}=${quote(value)}`)].join(" ") + "\n";
  });
  try {
    if (statSync(serfLog).size > MAX_BYTES) {
      copyFileSync(serfLog, oldSerfLog);
      truncateSync(serfLog);
    }
    appendFileSync(serfLog, lines.join(""));
  } catch (error) {
    // A full disk must not keep nodes out.
    console.error((error as Error).message);
  }
}

/** What a member says of itself is anybody's text: quoted, printable, and no longer than it should be. */
function quote(text: string): string {
  const printable = Buffer.from(text).toString("latin1").slice(0, MAX_WORD_BYTES);
  return `"${printable.replace(/[^ -~]/g, "?").replace(/["\\]/g, "\\$&")}"`;
}
