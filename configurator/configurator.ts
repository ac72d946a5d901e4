import { hostname } from "node:os";
import {
  type AwaitServingRequest,
  type ClusterView,
  type ConfigStatus,
  isServing,
  type PushRequest,
} from "./protocol/control";
import type { Views } from "./protocol/watch";
import { parseNode, revisionOf } from "./protocol/declaration";
import { renderHaproxyConfig, renderUsers, type ProxyNode } from "../haproxy/render";
import { Announcements } from "./announcements";
import {
  applyConfig,
  forgetWorker,
  hasServers,
  isAppliedWorker,
  isDraining,
  isUnfinished,
  recordWorker,
  writeUsers,
} from "./apply";
import { readDrift } from "./drift";
import { readIfThere, replaceFile } from "./files";
import { checkConfig, readWorker, type Worker } from "./haproxyProcess";
import { HealthRecord } from "./health";
import { checkable, decideNodes, type Memory } from "./membership";
import { readNodes, writeNodes } from "./nodesFolder";
import { RateLimiter } from "./rateLimiter";
import { paths } from "./paths";
import { findHarmed, NotServing, type Report, waitUntilServing } from "./readiness";
import { type GossipEvent, readMembers } from "./serf";
import { drainServer, listServers } from "./servers";
import { type Pushed, readMemory, readPushed, writePushed } from "./state";
import { diffLines, type Send, Watch } from "./watch";

/** How often the configurator looks again although nobody triggered it. */
const LOOK_EVERY_MS = 10_000;
/** The same while gossip does not vouch for a node that should be there. */
const LOOK_CLOSELY_EVERY_MS = 1000;
/** After so long nodes that do not serve get what is declared, in case that is what they need. */
const STUCK_AFTER_MS = 3000;
/** A complaint that did not come up for so long is said again. */
const COMPLAIN_AGAIN_MS = 60_000;

/**
 * The one writer of /nodes and haproxy.cfg. It is level-triggered: each reconciliation
 * makes the folder, the file and the process follow from what is declared, what gossip knows and
 * what serves, whatever happened before, so a missed event or a kill at any point costs nothing.
 */
export class Configurator {
  private last: Promise<unknown> = Promise.resolve();
  private readonly rateLimiter = new RateLimiter((reason) => this.reconcile(reason));
  private readonly announced = new Announcements();
  private readonly health = new HealthRecord();
  private readonly draining = new Set<string>();
  private readonly watch = new Watch();
  private readonly complaints = new Complaints((line) => this.complain(line));
  private pushes = 0;
  private nextLook?: NodeJS.Timeout;

  /** Reconciles and goes on to look again by itself. */
  start(): Promise<void> {
    return this.reconcile("start").catch((error: Error) => console.error(error.message));
  }

  /**
   * Takes in what Serf's handler heard. An event only says that it is time to look; a query also
   * says what gossip will know a moment later.
   */
  async hear({ event, members }: GossipEvent): Promise<void> {
    const told = members.map(({ name, boot }) => ({ name: name.slice(0, 80), boot }));
    this.watch.tell({ what: "gossip", event, members: told });
    if (event === "announce") for (const member of members) this.announced.add(member);
    const names = members.map(({ name }) => JSON.stringify(name.slice(0, 80))).join(" ");
    if (event !== "leave") return this.rateLimiter.trigger(`${event} of ${names}`);
    for (const member of members) {
      this.announced.forget(member);
      this.health.leaves(member.name);
    }
    await this.remember(({ left }) => {
      for (const { name, boot } of members) if (boot !== "") left[name] = boot;
    });
    // Not paced: the node waits for it before it stops.
    await this.reconcile(`leave of ${names}`);
  }

  /**
   * Takes a new declaration, applies it and waits until HAProxy has passed a health check of every
   * declared node since.
   *
   * @throws Error naming each node that does not serve and its last check
   */
  async push(
    { declaration, containers, statsPasswordHash, deadlineMs }: PushRequest,
    report: Report,
  ): Promise<void> {
    const deadline = Date.now() + deadlineMs;
    const nodes = declaration.nodes.map(parseNode);
    const pushed = { ...declaration, nodes, containers, statsPasswordHash };
    // A template or a setting that does not render must not become the declaration.
    renderHaproxyConfig(pushed.template, pushed.settings, pushed.nodes);
    renderUsers(statsPasswordHash);
    this.pushes++;
    try {
      // One that can't be read is what this push replaces.
      const before = await readPushed().catch(() => undefined);
      await this.expect(pushed, before);
      await writePushed(pushed);
      const worker = await readWorker();
      try {
        await this.reconcile(`push ${revisionOf(declaration)}`, "repair");
      } catch (error) {
        await this.withdraw(before);
        throw error;
      }
      await waitUntilServing(pushed, worker, deadline, report);
    } finally {
      this.pushes--;
    }
  }

  /**
   * Waits until HAProxy has passed a health check of these nodes, as a push does for all. A balancer
   * that was not told anything yet serves nothing that could wait. Nodes that do not serve may need the
   * template or the settings that are to be pushed when they do: these are tried then.
   *
   * @throws Error naming each node that does not serve and its last check
   */
  async awaitServing(request: AwaitServingRequest, report: Report): Promise<void> {
    const { names, proxy, deadlineMs } = request;
    const before = await readPushed();
    if (before === undefined) return;
    const nodes = before.nodes.filter(({ name }) => names.includes(name));
    const deadline = Date.now() + deadlineMs;
    const after = { ...before, ...proxy };
    const [old, declared] = [before, after].map(({ template, settings }) =>
      renderHaproxyConfig(template, settings, nodes),
    );
    const patience = old === declared ? deadline : Math.min(deadline, Date.now() + STUCK_AFTER_MS);
    try {
      await waitUntilServing({ ...before, nodes }, await readWorker(), patience, report);
    } catch (error) {
      if (patience === deadline || !(error instanceof NotServing)) throw error;
      await this.tryOut(after, before, nodes, deadline, report);
    }
  }

  /**
   * Applies another template and other settings for nodes that do not serve without. They stay if these
   * nodes serve then, and if no server that served fails its check.
   *
   * @throws Error naming each node that does not serve and its last check, or who would not serve on
   */
  private async tryOut(
    after: Pushed,
    before: Pushed,
    nodes: ProxyNode[],
    deadline: number,
    report: Report,
  ): Promise<void> {
    const worker = await readWorker();
    const serving = new Set(worker?.servers.filter(isServing).map(({ name }) => name));
    const text = JSON.stringify(after);
    await writePushed(after);
    try {
      await this.reconcile(`nodes that do not serve, push ${revisionOf(after)} early`, "repair");
      const soon = Math.min(deadline, Date.now() + STUCK_AFTER_MS);
      const harmed = await findHarmed(serving, after.settings, soon);
      if (harmed) throw new Error(describeHarm(harmed));
      await waitUntilServing({ ...after, nodes }, worker, deadline, report);
    } catch (error) {
      // Another push may have come since.
      if ((await readIfThere(paths.declaration)) === text) await this.withdraw(before);
      throw error;
    }
  }

  /** Back to the declaration before the one that can't be applied, and to what follows from it. */
  private async withdraw(before: Pushed | undefined): Promise<void> {
    if (before === undefined) return;
    try {
      await writePushed(before);
      await this.reconcile("the push that failed", "repair");
    } catch (error) {
      console.error((error as Error).message);
    }
  }

  /** The three texts that tell drift from membership, and what else drifted; a push repairs it. */
  async status(): Promise<ConfigStatus> {
    const live = await readIfThere(paths.config);
    try {
      const declaration = await readPushed();
      if (declaration === undefined) throw new Error(`${paths.declaration}: got no file`);
      const { template, settings, nodes } = declaration;
      const present = await readNodes(paths.nodes);
      const names = new Set(present.map(({ name }) => name));
      const declaredPresent = nodes.filter(({ name }) => names.has(name));
      return {
        declared: renderHaproxyConfig(template, settings, declaredPresent),
        expected: renderHaproxyConfig(template, settings, present),
        live,
        runtime: await this.drift(),
      };
    } catch (error) {
      return { live, runtime: [(error as Error).message] };
    }
  }

  /** What the process has otherwise than the file says, after whatever is under way. */
  private async drift(): Promise<string[]> {
    await this.last.catch(() => undefined);
    return readDrift(listServers((await readIfThere(paths.applied)) ?? ""));
  }

  /** Tells a watcher what is there and what comes, until it has ended. */
  serveWatch(send: Send, ended: Promise<void>): Promise<void> {
    return this.watch.serve(send, () => this.views(), ended);
  }

  /** Has a line known to whoever reads the log or watches. */
  complain(line: string): void {
    console.error(line);
    this.watch.tell({ what: "note", text: line });
  }

  /** The nodes as each part sees them. */
  async cluster(): Promise<ClusterView> {
    const [views, worker, runtime] = await Promise.all([this.views(), readWorker(), this.drift()]);
    return { ...views, servers: worker?.servers, runtime };
  }

  private async views(): Promise<Views> {
    const [declaration, members, nodes, config] = await Promise.all([
      readPushed(),
      readMembers(),
      readNodes(paths.nodes),
      readIfThere(paths.config),
    ]);
    const declared = declaration?.nodes ?? [];
    return { declared, members, nodes, file: listServers(config ?? "") };
  }

  /**
   * Reconciles after whatever is under way; reconciliations never overlap.
   *
   * @param reason for the log
   * @param drift what to do with what a person changed by hand, in haproxy.cfg or by the admin CLI,
   *   when nothing else has changed: it is kept for a person to judge, unless a push says what should
   *   be there
   */
  private reconcile(reason: string, drift: "keep" | "repair" = "keep"): Promise<void> {
    const next = this.last.catch(() => undefined).then(() => this.reconcileNow(reason, drift));
    this.last = next;
    return next;
  }

  private async reconcileNow(reason: string, drift: "keep" | "repair"): Promise<void> {
    clearTimeout(this.nextLook);
    let lookAgainIn = LOOK_CLOSELY_EVERY_MS;
    try {
      const isSure = await this.follow(reason, drift);
      if (isSure) lookAgainIn = LOOK_EVERY_MS;
    } catch (error) {
      this.watch.tell({ what: "note", text: (error as Error).message });
      throw error;
    } finally {
      this.nextLook = setTimeout(() => this.rateLimiter.trigger("another look"), lookAgainIn);
    }
  }

  /** @returns whether HAProxy runs and gossip vouches for every node */
  private async follow(reason: string, drift: "keep" | "repair"): Promise<boolean> {
    const declaration = await readPushed();
    if (declaration === undefined) return true;
    const [members, worker, previous, memory] = await Promise.all([
      readMembers(),
      readWorker(),
      readNodes(paths.nodes, (line) => console.error(line)),
      readMemory(),
    ]);
    const isExpected = this.pushes > 0;
    const nodes = checkable(declaration, members ?? [], memory);
    const path = declaration.settings.healthPath;
    const health = this.health.judge(nodes, worker?.servers ?? [], isExpected, path);
    const decision = decideNodes({
      declaration,
      members: members ?? [],
      announced: this.announced.beside(members ?? []),
      memory,
      previous,
      health: (name) => health.get(name) ?? "unknown",
      isLost: (name) => this.health.isLost(name),
      stays: (name) => this.health.stays(name),
      self: hostname(),
    });
    this.complaints.say(decision.refused);
    await replaceIfChanged(paths.memory, JSON.stringify(decision.memory));
    await writeNodes(paths.nodes, decision.nodes);
    await this.bringAbout(declaration, decision.nodes, worker, reason, drift);
    const file = listServers((await readIfThere(paths.config)) ?? "");
    this.watch.see({ declared: declaration.nodes, members, nodes: decision.nodes, file });
    return worker !== undefined && decision.unsure.length === 0;
  }

  /** Makes file and process follow from the nodes, where they do not. */
  private async bringAbout(
    { template, settings, statsPasswordHash }: Pushed,
    nodes: ProxyNode[],
    worker: Worker | undefined,
    reason: string,
    drift: "keep" | "repair",
  ): Promise<void> {
    await writeUsers(renderUsers(statsPasswordHash));
    const text = renderHaproxyConfig(template, settings, nodes);
    const applied = await readIfThere(paths.applied);
    if (drift === "repair" && worker) {
      const changes = await readDrift(listServers(applied ?? ""));
      if (changes.length > 0) {
        console.log(`reloading, because: ${changes.join("; ")}`);
        await forgetWorker();
      }
    }
    const isOnDisk = text === (await readIfThere(paths.config));
    // s6 is about to start one, and it reads the file.
    const isRunning = worker === undefined || hasServers(worker.servers, nodes);
    // It can't start on an edit like that, so the edit is not kept.
    const isStuck = !worker && !isOnDisk && (await checkConfig(paths.config)) !== undefined;
    const isSettled = isRunning && !isStuck && !(await isUnfinished());
    if (text === applied && (isOnDisk || drift === "keep") && isSettled) {
      if (worker && isOnDisk && !(await isAppliedWorker(worker))) await recordWorker();
      this.drain(worker, nodes);
      return;
    }
    const started = Date.now();
    const way = await applyConfig(text, nodes);
    const ms = Date.now() - started;
    const change = describeChange(listServers(applied ?? ""), nodes);
    console.log(`applied by ${way} in ${ms} ms for ${reason}: ${change}`);
    const diff = applied === undefined ? [] : diffLines(applied, text);
    this.watch.tell({ what: "apply", way, ms, reason, change, diff });
    this.rateLimiter.applied();
    this.drain(await readWorker(), nodes);
  }

  /** Lets removed servers end their requests, without waiting for it. */
  private drain(worker: Worker | undefined, nodes: ProxyNode[]): void {
    const wanted = new Set(nodes.map(({ name }) => name));
    for (const server of worker?.servers ?? []) {
      const { name } = server;
      if (!isDraining(server, wanted) || this.draining.has(name)) continue;
      this.draining.add(name);
      drainServer(name)
        .catch((error: Error) => console.error(error.message))
        .finally(() => this.draining.delete(name));
    }
  }

  /**
   * Every declared node is expected again, also one that lives and is said to have left. What gossip
   * still knows of a container that has been replaced says nothing of the new one.
   */
  private async expect({ containers }: Pushed, before: Pushed | undefined): Promise<void> {
    const members = (await readMembers()) ?? [];
    await this.remember((memory) => {
      memory.absent = [];
      for (const { name, status, boot } of members) {
        if (containers[name] !== undefined && status === "alive") delete memory.left[name];
        const isNew =
          containers[name] !== undefined && containers[name] !== before?.containers[name];
        if (isNew && status !== "alive") memory.superseded[name] = boot;
      }
    });
  }

  /** Changes the memory after whatever is under way. */
  private remember(change: (memory: Memory) => void): Promise<void> {
    const next = this.last
      .catch(() => undefined)
      .then(async () => {
        const memory = await readMemory();
        change(memory);
        await replaceFile(paths.memory, JSON.stringify(memory));
      });
    this.last = next;
    return next;
  }
}

const describeHarm = (harmed: string) =>
  `nodes that serve do not pass the declared health check, so haproxy.cfg is as it was: ${harmed}; ` +
  "let the new version pass both, or replace all nodes at once: npx pulumi config set rollingSteps 1";

/** Says each complaint when it comes up, not at every look. */
class Complaints {
  private readonly seen = new Map<string, number>();

  constructor(private readonly complain: (line: string) => void) {}

  say(lines: string[]): void {
    const now = Date.now();
    for (const line of lines) {
      if (!this.seen.has(line)) this.complain(`refused ${line}`);
      this.seen.set(line, now);
    }
    for (const [line, at] of this.seen) if (now - at > COMPLAIN_AGAIN_MS) this.seen.delete(line);
  }
}

async function replaceIfChanged(path: string, text: string): Promise<void> {
  if ((await readIfThere(path)) !== text) await replaceFile(path, text);
}

function describeChange(before: readonly ProxyNode[], after: readonly ProxyNode[]): string {
  const minus = (from: readonly ProxyNode[], other: readonly ProxyNode[]) =>
    from.map(({ name }) => name).filter((name) => other.every((node) => node.name !== name));
  const added = minus(after, before).map((name) => `+${name}`);
  const removed = minus(before, after).map((name) => `-${name}`);
  return [...added, ...removed].join(" ") || "the same servers";
}
