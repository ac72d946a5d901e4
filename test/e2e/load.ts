/** Bounded load on a lab's published port: what a client sees while something else happens. */
import { get, portOf } from "./observe";
import type { LabCheckout } from "./checkout";

const MAX_REQUESTS = 20_000;

export interface LoadResult {
  sent: number;
  /** What went wrong, a line for each request that was lost. */
  lost: string[];
}

/** Sends requests, each on a connection of its own and never again, until the work has ended. */
export async function underLoad(lab: LabCheckout, work: () => Promise<void>): Promise<LoadResult> {
  const result: LoadResult = { sent: 0, lost: [] };
  let working = true;
  const client = async () => {
    while (working && result.sent < MAX_REQUESTS) {
      result.sent++;
      await get(portOf(lab, "httpPort")).then(
        ({ status, body }) => status === 200 || result.lost.push(`${status} ${body}`),
        (error: Error) => result.lost.push(error.message),
      );
    }
  };
  const clients = [client(), client()];
  try {
    await work();
  } finally {
    working = false;
    await Promise.all(clients);
  }
  return result;
}
