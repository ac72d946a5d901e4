/**
 * End-to-end tests use names of their own on the machine's engine, the same in every run. So a run
 * waits while another one is under way, from whichever checkout.
 */
import { once } from "node:events";
import { connect, createServer } from "node:net";

/** In Linux's abstract namespace: the kernel frees it with its process, however that ends. */
const PLACE = "\0dynamic-scaling-lab-e2e";

export default async function waitForOtherRuns(): Promise<void> {
  // Whoever waits must not keep this process alive.
  const server = createServer((waiting) => waiting.unref()).unref();
  for (let hasSaid = false; ; hasSaid = true) {
    server.listen(PLACE);
    try {
      await once(server, "listening");
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    }
    if (!hasSaid) console.error("… another run of the end-to-end tests is under way; waiting");
    // Not by `once`, which would throw what a run that is killed leaves: a reset.
    const other = connect(PLACE).on("error", () => undefined);
    await new Promise<void>((resolve) => other.resume().once("close", () => resolve()));
  }
}
