import { hostname } from "node:os";
import {
  type AwaitServingRequest,
  type BalancerView,
  type ClusterView,
  type ConfigStatus,
  isServing,
  type Member,
  type PushRequest,
} from "./protocol/control";
import type { Views } from "./protocol/watch";
import { parseNode, revisionOf } from "./protocol/declaration";
import { renderHaproxyConfig, renderUsers, type ProxyNode } from "../haproxy/render";
import { Announcements } from "./announcements";
import { applyIfNeeded, forgetWorker, writeUsers } from "./apply";
import { readDrift } from "./drift";
import { readIfThere, replaceFile } from "./files";
import { readWorker, type Worker } from "./haproxyProcess";
import { HealthRecord } from "./health";
import { checkable, correctStatus, decideNodes, type Departures } from "./membership";
import { readNodes, writeNodes } from "./nodesFolder";
import { RateLimiter } from "./rateLimiter";
import { paths } from "./paths";
import { findHarmed, NotServing, type Progress, waitUntilServing } from "./readiness";
import { type GossipEvent, SerfAgent } from "./serf";
import { logEvent } from "./serfLog";
import { drainServer, isDraining, listServers } from "./servers";
import { type Pushed, readDepartures, readPushed, takeGiven, writePushed } from "./state";
import { describeView, parseViews } from "./views";
import { diffLines, type Send, Watch } from "./watch";

/** How often the configurator looks again although nobody triggered it. */
const LOOK_EVERY_MS = 10_000;
/** The same while gossip does not vouch for a node that should be there. */
const LOOK_CLOSELY_EVERY_MS = 1000;
/** After so long nodes that do not serve get what is declared, in case that is what they need. */
const STUCK_AFTER_MS = 3000;
/** The same while a balancer of a Swarm that starts has heard of no node. */
const LOOK_EAGERLY_EVERY_MS = 100;
/** How long a balancer of a Swarm that starts waits to hear of nodes. */
const ALONE_FOR_MS = 10_000;
/** A complaint that did not come up for so long is said again. */
const COMPLAIN_AGAIN_MS = 60_000;

/** Names of this balancer and, where there are two, of the other: config/member.ts. */
const BALANCERS = [process.env.AGENT_NAME ?? hostname(), process.env.PEER].filter(
  (name) => name !== undefined,
);

/**
 * The one writer of /nodes and haproxy.cfg. It is level-triggered: each reconciliation
 * makes the folder, the file and the process follow from what is declared, what gossip knows and
 * what serves, whatever happened before, so a missed event or a kill at any point costs nothing.
 */
export class Configurator {
  private last: Promise<unknown> = Promise.resolve();
  private readonly rateLimiter = new RateLimiter((reason) => this.reconcile(reason));
  private readonly agent = new SerfAgent(
    (event) => this.handleGossip(event),
    () => this.rateLimiter.trigger("the gossip agent's start"),
  );
  private readonly announced = new Announcements();
  private readonly health = new HealthRecord();
  private readonly draining = new Set<string>();
  private readonly watch = new Watch();
  private readonly complaints = new Complaints((line) => this.complain(line));
  private pushes = 0;
  private nextLook?: NodeJS.Timeout;

  /** Reconciles and goes on to look again by itself. */
  async start(): Promise<void> {
    void this.agent.follow();
    try {
      await takeGiven();
      await this.reconcile("start");
    } catch (error) {
      console.error((error as Error).message);
    }
  }

  /**
   * Takes in what the gossip agent heard. An event only says that it is time to look; a query also
   * says what gossip will know a moment later.
   *
   * @returns the answer to a query
   */
  private async handleGossip(heard: GossipEvent): Promise<string> {
    // Asked by the balancer that an update waits for, again and again.
    if (heard.event === "serving") {
      return describeView(await this.cluster(), (await readIfThere(paths.config)) ?? "");
    }
    logEvent(heard);
    await this.takeGossip(heard);
    return "done";
  }

  private async takeGossip({ event, members }: GossipEvent): Promise<void> {
    const told = members.map(({ name, boot }) => ({ name: name.slice(0, 80), boot }));
    this.watch.tell({ what: "gossip", event, members: told });
    if (event === "announce") for (const member of members) this.announced.add(member);
    const names = members.map(({ name }) => JSON.stringify(name.slice(0, 80))).join(" ");
    if (event !== "leave") return this.rateLimiter.trigger(`${event} of ${names}`);
    for (const member of members) {
      this.announced.forget(member);
      this.health.leaves(member.name);
    }
    await this.updateDepartures(({ left }) => {
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
    onProgress: Progress,
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
      await this.expectDeclared(pushed, before);
      await writePushed(pushed);
      const worker = await readWorker();
      try {
        await this.reconcile(`push ${revisionOf(declaration)}`, "repair");
      } catch (error) {
        await this.rollBack(before);
        throw error;
      }
      await waitUntilServing(pushed, worker, deadline, onProgress);
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
  async awaitServing(request: AwaitServingRequest, onProgress: Progress): Promise<void> {
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
      await waitUntilServing({ ...before, nodes }, await readWorker(), patience, onProgress);
    } catch (error) {
      if (patience === deadline || !(error instanceof NotServing)) throw error;
      await this.tryOut(after, before, nodes, deadline, onProgress);
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
    onProgress: Progress,
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
      await waitUntilServing({ ...after, nodes }, worker, deadline, onProgress);
    } catch (error) {
      // Another push may have come since.
      if ((await readIfThere(paths.declaration)) === text) await this.rollBack(before);
      throw error;
    }
  }

  /** Back to the declaration before the one that can't be applied, and to what follows from it. */
  private async rollBack(before: Pushed | undefined): Promise<void> {
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
    return this.readDriftNow();
  }

  private async readDriftNow(): Promise<string[]> {
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

  /** What each balancer of the cluster that answers runs on, this one among them. */
  async balancers(): Promise<BalancerView[]> {
    return parseViews(await this.agent.queryBalancers("serving"));
  }

  private async views(): Promise<Views> {
    const [declaration, known, departures, nodes, config] = await Promise.all([
      readPushed(),
      this.agent.readMembers(),
      readDepartures(),
      readNodes(paths.nodes),
      readIfThere(paths.config),
    ]);
    const declared = declaration?.nodes ?? [];
    const members = known && correctStatus(known, departures);
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
      lookAgainIn = await this.reconcileOnce(reason, drift);
    } catch (error) {
      this.watch.tell({ what: "note", text: (error as Error).message });
      throw error;
    } finally {
      this.nextLook = setTimeout(() => this.rateLimiter.trigger("another look"), lookAgainIn);
    }
  }

  /** @returns when to look again, ms: late if HAProxy runs and gossip vouches for every node */
  private async reconcileOnce(reason: string, drift: "keep" | "repair"): Promise<number> {
    const declaration = await readPushed();
    if (declaration === undefined) return LOOK_EVERY_MS;
    const [members, worker, previous, departures] = await Promise.all([
      this.agent.readMembers(),
      readWorker(),
      readNodes(paths.nodes, (line) => console.error(line)),
      readDepartures(),
    ]);
    const isExpected = this.pushes > 0;
    const nodes = checkable(declaration, members ?? [], departures);
    const path = declaration.settings.healthPath;
    const health = this.health.judge(nodes, worker?.servers ?? [], isExpected, path);
    const decision = decideNodes({
      declaration,
      members: members ?? [],
      announced: this.announced.beside(members ?? []),
      departures,
      previous,
      health: (name) => health.get(name) ?? "unknown",
      isLost: (name) => this.health.isLost(name),
      stays: (name) => this.health.stays(name),
      isOpen: declaration.settings.byName,
      balancers: declaration.settings.byName ? listBalancers(members ?? []) : BALANCERS,
    });
    this.complaints.say(decision.refused);
    // A balancer of a Swarm knows no node before gossip does: it would answer with nothing but errors.
    const knowsNobody = declaration.settings.byName && !worker && decision.nodes.length === 0;
    if (knowsNobody && performance.now() < ALONE_FOR_MS) return LOOK_EAGERLY_EVERY_MS;
    await replaceIfChanged(paths.memory, JSON.stringify(decision.departures));
    await writeNodes(paths.nodes, decision.nodes);
    await this.applyNodes(declaration, decision.nodes, worker, reason, drift);
    const file = listServers((await readIfThere(paths.config)) ?? "");
    this.watch.see({ declared: declaration.nodes, members, nodes: decision.nodes, file });
    const isSure = worker !== undefined && decision.unsure.length === 0;
    return isSure ? LOOK_EVERY_MS : LOOK_CLOSELY_EVERY_MS;
  }

  /** Makes file and process follow from the nodes, where they do not. */
  private async applyNodes(
    { template, settings, statsPasswordHash }: Pushed,
    nodes: ProxyNode[],
    worker: Worker | undefined,
    reason: string,
    drift: "keep" | "repair",
  ): Promise<void> {
    await writeUsers(renderUsers(statsPasswordHash));
    const text = renderHaproxyConfig(template, settings, nodes);
    if (drift === "repair" && worker) {
      const changes = await this.readDriftNow();
      if (changes.length > 0) {
        console.log(`reloading, because: ${changes.join("; ")}`);
        await forgetWorker();
      }
    }
    const applied = await applyIfNeeded({ text, nodes, drift });
    if (applied === undefined) return this.drain(worker, nodes);
    const { way, ms, before, isEditGone } = applied;
    if (isEditGone) this.complain("an edit of haproxy.cfg by hand is replaced");
    const change = describeChange(listServers(before ?? ""), nodes, worker?.servers ?? []);
    console.log(`applied by ${way} in ${ms} ms for ${reason}: ${change}`);
    const diff = before === undefined ? [] : diffLines(before, text);
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
  private async expectDeclared({ containers }: Pushed, before: Pushed | undefined): Promise<void> {
    const members = (await this.agent.readMembers()) ?? [];
    await this.updateDepartures((departures) => {
      departures.absent = [];
      for (const { name, status, boot } of members) {
        if (containers[name] !== undefined && status === "alive") delete departures.left[name];
        const isNew =
          containers[name] !== undefined && containers[name] !== before?.containers[name];
        if (isNew && status !== "alive") departures.superseded[name] = boot;
      }
    });
  }

  /** Changes the departures after whatever is under way. */
  private updateDepartures(change: (departures: Departures) => void): Promise<void> {
    const next = this.last
      .catch(() => undefined)
      .then(async () => {
        const departures = await readDepartures();
        change(departures);
        await replaceFile(paths.memory, JSON.stringify(departures));
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
      if (!this.seen.has(line)) this.complain(`not taken as a node: ${line}`);
      this.seen.set(line, now);
    }
    for (const [line, at] of this.seen) if (now - at > COMPLAIN_AGAIN_MS) this.seen.delete(line);
  }
}

async function replaceIfChanged(path: string, text: string): Promise<void> {
  if ((await readIfThere(path)) !== text) await replaceFile(path, text);
}

/** Those on a Swarm, of which each engine has one: their names begin alike. */
const listBalancers = (members: Member[]) =>
  members
    .filter(({ name, role }) => role === "balancer" && name.startsWith("ha-"))
    .map(({ name }) => name);

/** @param servers where they were before */
function describeChange(
  before: readonly ProxyNode[],
  after: readonly ProxyNode[],
  servers: readonly ProxyNode[],
): string {
  const minus = (from: readonly ProxyNode[], other: readonly ProxyNode[]) =>
    from.map(({ name }) => name).filter((name) => other.every((node) => node.name !== name));
  const added = minus(after, before).map((name) => `+${name}`);
  const removed = minus(before, after).map((name) => `-${name}`);
  const places = new Map(servers.map(({ name, address }) => [name, address]));
  const moved = after
    .filter(({ name, address }) => (places.get(name) ?? address) !== address)
    .map(({ name, address }) => `${name} to ${address}`);
  return [...added, ...removed, ...moved].join(" ") || "the same servers";
}
