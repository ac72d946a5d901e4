import { rename } from "node:fs/promises";
import type { ProxyNode } from "../../../haproxy/render";
import { readIfThere, replaceFile, writeCandidate } from "./files";
import { BACKEND, checkConfig, readServers, reload } from "./haproxyProcess";
import { paths } from "./paths";

const START_DEADLINE_MS = 10_000;
const START_POLL_MS = 20;

/**
 * The one way by which a text becomes the running configuration, whoever asks: candidate file →
 * `haproxy -c` → rename → reload → read back. On a failure the last good file is restored.
 *
 * @param text the new haproxy.cfg
 * @param nodes the servers that the running process must then have
 * @throws Error with HAProxy's own words; file and process are then as before
 */
export async function applyConfig(text: string, nodes: readonly ProxyNode[]): Promise<void> {
  const candidate = await writeCandidate(paths.config, text);
  const complaint = await checkConfig(candidate);
  if (complaint !== undefined) throw new Error(`haproxy -c refused the config: ${complaint}`);
  const running = await isRunning();
  await rename(candidate, paths.config);
  try {
    // Without a process there is nothing to reload: s6 starts one, and it reads this file.
    await (running ? reload() : waitForStart());
    await verifyServers(nodes);
    await replaceFile(paths.applied, text);
  } catch (error) {
    await restoreLastGood(running);
    throw error;
  }
}

async function restoreLastGood(running: boolean): Promise<void> {
  const lastGood = await readIfThere(paths.applied);
  if (lastGood === undefined) return;
  await replaceFile(paths.config, lastGood);
  if (running) await reload();
}

async function isRunning(): Promise<boolean> {
  return readServers().then(
    () => true,
    () => false,
  );
}

async function waitForStart(): Promise<void> {
  const deadline = Date.now() + START_DEADLINE_MS;
  while (!(await isRunning())) {
    if (Date.now() > deadline) {
      throw new Error(`haproxy did not start within ${START_DEADLINE_MS / 1000} s; see its log`);
    }
    await new Promise((resolve) => setTimeout(resolve, START_POLL_MS));
  }
}

/** Reads the backend back: what the process runs on must be what the file says. */
async function verifyServers(nodes: readonly ProxyNode[]): Promise<void> {
  const list = (all: readonly ProxyNode[]) =>
    all.map(({ name, address, port }) => `${name}=${address}:${port}`).join(" ");
  const [wanted, actual] = [list(nodes), list(await readServers())];
  if (wanted !== actual) {
    throw new Error(`backend ${BACKEND} runs with "${actual}", the file says "${wanted}"`);
  }
}
