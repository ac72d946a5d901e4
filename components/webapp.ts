import type * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { createMemberContainer } from "./memberContainer";
import { readTemplate } from "./haproxyConfig";
import { NodesReady } from "./nodesReady";
import type { Member, Topology } from "../config/topology";
import type { ProxySettings } from "../haproxy/render";

export interface WebAppArgs {
  /** The nodes; their number decides how many containers exist. */
  nodes: Member[];
  /** Id of the web nodes' image. */
  image: pulumi.Input<string>;
  /** Name of the lab's network. */
  network: pulumi.Input<string>;
  label: Topology["label"];
  /** Name of the balancer's container. */
  balancer: string;
  /** Settings that haproxy.cfg is about to have. */
  settings: ProxySettings;
  /** Number of groups that a changed image replaces one after the other. */
  rollingSteps: number;
  /** Names of the nodes that run. Others need not wait for their turn: no request goes to them. */
  running: ReadonlySet<string>;
  /** Longest wait until the nodes of one group serve again, s. */
  readyTimeout: number;
  /** Key that encrypts gossip, 32 bytes in base64; secret. */
  gossipKey: pulumi.Input<string>;
}

/** The web nodes, started in parallel and replaced group by group, so that the others serve. */
export class WebApp extends pulumi.ComponentResource {
  /** By node name. */
  readonly containers: Record<string, docker.Container>;
  /** For what has to wait until all nodes are replaced and serve. */
  readonly ready: NodesReady;

  constructor(name: string, args: WebAppArgs, opts?: pulumi.ComponentResourceOptions) {
    super("lab:index:WebApp", name, {}, opts);
    const { nodes, balancer, settings, rollingSteps, running, readyTimeout, ...shared } = args;
    const proxy = { template: readTemplate(), settings };
    this.containers = {};
    let before: NodesReady | undefined;
    for (const [i, group] of splitIntoGroups(nodes, rollingSteps).entries()) {
      const inTurn = { parent: this, dependsOn: before ? [before] : [] };
      for (const member of group) {
        const opts = running.has(member.name) ? inTurn : { parent: this };
        this.containers[member.name] = createMemberContainer({ member, ...shared }, opts);
      }
      const containers = Object.fromEntries(
        group.map((member) => [member.name, this.containers[member.name].id]),
      );
      before = new NodesReady(
        `group${i + 1}`,
        { balancer, containers, proxy, readyTimeout },
        inTurn,
      );
    }
    this.ready = before!;
    this.registerOutputs({});
  }
}

/** Deals the nodes out like cards: one more node leaves the others in their groups. */
export function splitIntoGroups<T>(nodes: readonly T[], groups: number): T[][] {
  return Array.from({ length: groups }, (_, group) =>
    nodes.filter((_node, i) => i % groups === group),
  );
}
