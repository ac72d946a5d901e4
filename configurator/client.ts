/** The one way to the configurator in `ha`, for the provider and the tools. */
import type { ControlReply, ControlRequest } from "./protocol/control";
import type { WatchReply } from "./protocol/watch";
import { connectDocker } from "../docker/connect";
import { runInContainer } from "../docker/exec";

const COMMAND = ["configurator", "call"];
const USER = "haproxy";

/** How a question to the configurator ended. */
export type Outcome =
  | Extract<ControlReply, { done: true }>
  /** The configurator's own no. */
  | { refused: string }
  /** No answer: the container or the configurator is down, or went down on the way. */
  | { unavailable: string };

export interface AskOptions {
  /** Called with each line for people that comes before the answer, and with the nodes not serving yet. */
  onProgress?: (line: string, waitingFor: string[]) => void;
  /** Stops waiting. */
  signal?: AbortSignal;
}

/**
 * Asks the configurator in a running balancer.
 *
 * @param balancer name or id of the balancer's container
 * @throws Error when there is no such container or no engine, or when the signal aborts
 */
export async function askConfigurator(
  balancer: string,
  request: ControlRequest,
  { onProgress, signal }: AskOptions = {},
): Promise<Outcome> {
  const container = connectDocker().getContainer(balancer);
  let outcome: Outcome | undefined;
  const onLine = (line: string) => {
    const reply = parseReply(line);
    // A command that could not be started leaves the container runtime's words here.
    if (reply === undefined) outcome = { unavailable: line };
    else if ("progress" in reply) onProgress?.(reply.progress, reply.waitingFor);
    else outcome = "error" in reply ? { refused: reply.error } : reply;
  };
  try {
    const { stderr } = await runInContainer(container, COMMAND, {
      user: USER,
      stdin: JSON.stringify(request),
      onLine,
      signal,
    });
    return outcome ?? { unavailable: stderr.trim() || "the configurator went away" };
  } catch (error) {
    signal?.throwIfAborted();
    const { State } = await container.inspect();
    return { unavailable: `${(error as Error).message} (the container is ${State.Status})` };
  }
}

/**
 * Has the configurator in a running balancer tell what it sees, until the signal aborts or the
 * configurator goes away.
 *
 * @param balancer name or id of the balancer's container
 * @returns why it ended
 * @throws Error when there is no such container or no engine, or when the signal aborts
 */
export async function watchConfigurator(
  balancer: string,
  onReply: (reply: WatchReply) => void,
  signal: AbortSignal,
): Promise<string> {
  const container = connectDocker().getContainer(balancer);
  let last = "";
  const onLine = (line: string) => {
    const reply = parseReply(line) as WatchReply | undefined;
    if (reply === undefined) last = line;
    else if ("error" in reply) last = String(reply.error);
    else onReply(reply);
  };
  const { stderr } = await runInContainer(container, COMMAND, {
    user: USER,
    stdin: `${JSON.stringify({ do: "watch" })}\n`,
    keepsStdinOpen: true,
    onLine,
    signal,
  });
  return stderr.trim() || last || "the configurator went away";
}

function parseReply(line: string): ControlReply | undefined {
  try {
    return JSON.parse(line) as ControlReply;
  } catch {
    return undefined;
  }
}
