import type { ConfigStatus } from "../../../haproxy/control";
import { parseNode, revisionOf, type Declaration } from "../../../haproxy/declaration";
import { renderHaproxyConfig } from "../../../haproxy/render";
import { applyConfig } from "./apply";
import { readIfThere, replaceFile } from "./files";
import { readServers, type ServerStatus } from "./haproxyProcess";
import { readNodes, writeNodes } from "./nodesFolder";
import { paths } from "./paths";

const READY_POLL_MS = 50;

/** What a push may learn while it waits: a line for people. */
export type Report = (line: string) => void;

/**
 * The one writer of /nodes and haproxy.cfg. It works by level, not by edge: each reconciliation
 * makes the folder, the file and the process follow from what is declared, whatever happened
 * before, so a missed event or a kill at any point costs nothing.
 */
export class Configurator {
  private last: Promise<void> = Promise.resolve();

  /**
   * Reconciles after whatever is under way; reconciliations never overlap.
   *
   * @param reason for the log
   * @param drift what to do with a haproxy.cfg edited by hand when nothing else has changed: it is
   *   kept for a person to judge, unless a push says what should be there
   */
  reconcile(reason: string, drift: "keep" | "repair" = "keep"): Promise<void> {
    const next = this.last.catch(() => undefined).then(() => this.reconcileNow(reason, drift));
    this.last = next;
    return next;
  }

  /**
   * Takes a new declaration, applies it and waits until HAProxy has passed a health check of every
   * declared node since.
   *
   * @param deadlineMs longest wait, ms
   * @throws Error naming each node that does not serve and its last check
   */
  async push(declaration: Declaration, deadlineMs: number, report: Report): Promise<void> {
    const deadline = Date.now() + deadlineMs;
    const nodes = declaration.nodes.map(parseNode);
    const declared = { ...declaration, nodes };
    // A template or a setting that does not render must not become the declaration.
    renderHaproxyConfig(declared.template, declared.settings, nodes);
    const before = await readIfThere(paths.declaration);
    await replaceFile(paths.declaration, JSON.stringify(declared));
    const appliedBefore = await readIfThere(paths.applied);
    try {
      await this.reconcile(`push ${revisionOf(declared)}`, "repair");
    } catch (error) {
      if (before !== undefined) await replaceFile(paths.declaration, before);
      throw error;
    }
    const reloaded = (await readIfThere(paths.applied)) !== appliedBefore;
    // A new worker starts without results, so any it has is fresh. One that ran on may still show
    // a check from before the push; the next has come in after an interval and a time-out.
    const { checkIntervalMs, checkTimeoutMs } = declared.settings;
    const provenFrom = reloaded ? 0 : Date.now() + checkIntervalMs + checkTimeoutMs;
    await waitUntilServing(declared, provenFrom, deadline, report);
  }

  /** The three texts that tell drift from membership. */
  async status(): Promise<ConfigStatus> {
    const declaration = await readDeclaration();
    const live = await readIfThere(paths.config);
    if (declaration === undefined) return { live };
    const { template, settings, nodes } = declaration;
    return {
      declared: renderHaproxyConfig(template, settings, nodes),
      expected: renderHaproxyConfig(template, settings, await readNodes(paths.nodes)),
      live,
    };
  }

  private async reconcileNow(reason: string, drift: "keep" | "repair"): Promise<void> {
    const declaration = await readDeclaration();
    if (declaration === undefined) return;
    await writeNodes(paths.nodes, declaration.nodes);
    const nodes = await readNodes(paths.nodes);
    const text = renderHaproxyConfig(declaration.template, declaration.settings, nodes);
    const isApplied = text === (await readIfThere(paths.applied));
    const isOnDisk = text === (await readIfThere(paths.config));
    if (isApplied && (isOnDisk || drift === "keep")) return;
    const started = Date.now();
    await applyConfig(text, nodes);
    const names = nodes.map((node) => node.name).join(" ") || "none";
    console.log(`applied for ${reason} in ${Date.now() - started} ms; nodes: ${names}`);
  }
}

async function readDeclaration(): Promise<Declaration | undefined> {
  const text = await readIfThere(paths.declaration);
  return text === undefined ? undefined : (JSON.parse(text) as Declaration);
}

async function waitUntilServing(
  declaration: Declaration,
  provenFrom: number,
  deadline: number,
  report: Report,
): Promise<void> {
  let reported = "";
  for (;;) {
    const servers = new Map((await readServers()).map((server) => [server.name, server]));
    const waiting = declaration.nodes
      .map(({ name }) => describeWait(name, servers.get(name)))
      .filter((line) => line !== undefined);
    if (waiting.length === 0 && Date.now() >= provenFrom) return;
    const line = waiting.join(", ");
    if (Date.now() > deadline) {
      throw new Error(`not serving at the deadline: ${line || "no fresh check yet"}`);
    }
    if (line && line !== reported) report(`waiting for ${(reported = line)}`);
    await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
  }
}

/** Why a node does not count as serving yet, or undefined when it does. */
function describeWait(name: string, server: ServerStatus | undefined): string | undefined {
  if (server?.check === "L7OK" && server.status === "UP") return undefined;
  return `${name} (${server?.status ?? "unknown to HAProxy"}, last check ${server?.check || "none"})`;
}
