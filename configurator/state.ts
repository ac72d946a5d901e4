import { readFileSync } from "node:fs";
import type { PushRequest } from "./protocol/control";
import type { Declaration } from "./protocol/declaration";
import { parseNode } from "./protocol/declaration";
import { isInNetwork } from "../config/subnet";
import { renderHaproxyConfig, renderUsers } from "../haproxy/render";
import { readIfThere, replaceFile } from "./files";
import type { Departures } from "./membership";
import { paths } from "./paths";

/** What the configurator keeps beside the declaration of what was pushed. */
export type Pushed = Declaration & Pick<PushRequest, "containers" | "statsPasswordHash">;

/** Keeps what was pushed; the hash in it is HAProxy's user's alone. */
export const writePushed = (pushed: Pushed) =>
  replaceFile(paths.declaration, JSON.stringify(pushed), 0o600);

/** Takes the declaration from where a Swarm puts it, if it does. @throws as {@link readPushed} */
export async function takeGiven(): Promise<void> {
  const text = await readIfThere(paths.given);
  if (text === undefined) return;
  // Opened by root: images/ha/rootfs/etc/s6/configurator/run.
  const descriptor = process.env.STATS_PASSWORD_HASH_FD;
  const statsPasswordHash =
    descriptor === undefined ? undefined : readFileSync(Number(descriptor), "utf8");
  const declaration = JSON.parse(text) as Declaration;
  await writePushed({ ...declaration, containers: {}, statsPasswordHash });
  await readPushed();
}

/**
 * The last declaration pushed; undefined before the first.
 *
 * @throws Error naming the file, when it is not what was written
 */
export async function readPushed(): Promise<Pushed | undefined> {
  const text = await readIfThere(paths.declaration);
  if (text === undefined) return undefined;
  try {
    const pushed = JSON.parse(text) as Pushed;
    const { template, settings, handMade } = pushed;
    const nodes = pushed.nodes.map(parseNode);
    if (!isInNetwork(handMade.range.split("/")[0], handMade.range)) {
      throw new Error("handMade.range is not a network");
    }
    renderHaproxyConfig(template, settings, nodes);
    renderUsers(pushed.statsPasswordHash);
    return { ...pushed, nodes };
  } catch (error) {
    throw new Error(`${paths.declaration}: ${(error as Error).message}`, { cause: error });
  }
}

/** What was remembered; nothing, and a line that says so, when it can't be read. */
export async function readDepartures(): Promise<Departures> {
  const text = await readIfThere(paths.memory);
  const nothing = { left: {}, superseded: {}, absent: [] };
  if (text === undefined) return nothing;
  try {
    const { left, superseded, absent } = JSON.parse(text) as Departures;
    const isWhole = [left, superseded].every(isRecord) && Array.isArray(absent);
    if (!isWhole) throw new Error("it is not what was written");
    return { left, superseded, absent };
  } catch (error) {
    console.error(`${paths.memory} is forgotten: ${(error as Error).message}`);
    return nothing;
  }
}

const isRecord = (value: unknown) => typeof value === "object" && value !== null;
