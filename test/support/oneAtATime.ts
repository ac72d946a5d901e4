/** What only one process of the machine does at a time, from whichever checkout. */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/**
 * End-to-end tests use names of their own on the machine's engine, the same in every run. So a run
 * waits while another one is under way.
 */
export default async function waitForOtherRuns(): Promise<void> {
  await takeTurn("e2e", () =>
    console.error("… another run of the end-to-end tests is under way; waiting"),
  );
}

/**
 * Waits until no other process has the turn of this name, and takes it.
 *
 * @param onWait called once if it is taken
 * @returns gives the turn back; the end of this process does too
 */
export async function takeTurn(name: string, onWait?: () => void): Promise<() => void> {
  // In Linux's abstract namespace: the kernel frees it with its process, however that ends.
  const place = `\0dynamic-scaling-lab-${name}`;
  const waiting = new Set<Socket>();
  const server = createServer((socket) => {
    // Whoever waits must not keep this process alive.
    waiting.add(socket.unref().on("error", () => undefined));
  }).unref();
  for (let hasWaited = false; ; hasWaited = true) {
    server.listen(place);
    try {
      await once(server, "listening");
      return () => {
        server.close();
        for (const socket of waiting) socket.destroy();
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    }
    if (!hasWaited) onWait?.();
    // Not by `once`, which would throw what a process that is killed leaves: a reset.
    const other = connect(place).on("error", () => undefined);
    await new Promise<void>((resolve) => other.resume().once("close", () => resolve()));
  }
}
