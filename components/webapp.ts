import type * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { createMemberContainer, placeOf } from "./memberContainer";
import { readTemplate } from "./haproxyConfig";
import { NodesReady } from "./nodesReady";
import type { Topology } from "../config/topology";
import type { SharedKey } from "./gossip";

export interface WebAppArgs {
  /** Its nodes decide how many containers there are. */
  topology: Topology;
  /** Of the web nodes; see components/images.ts. */
  image: pulumi.Input<string>;
  network: docker.Network;
  /** What the engines run on, such as `linux/amd64`. */
  platform: string;
  /** Number of groups that a changed image replaces one after the other. */
  rollingSteps: number;
  /** Names of the nodes that run. Others need not wait for their turn: no request goes to them. */
  running: ReadonlySet<string>;
  /** Longest wait until the nodes of one group serve again, s. */
  readyTimeout: number;
  gossipKey: SharedKey;
}

/** The web nodes, started in parallel and replaced group by group, so that the others serve. */
export class WebApp extends pulumi.ComponentResource {
  /** What each node runs in, by its name: another container has another id. */
  readonly runs: Record<string, pulumi.Output<string>> = {};
  /** For what has to wait until all nodes are replaced and serve. */
  readonly ready: NodesReady;

  constructor(name: string, args: WebAppArgs, opts?: pulumi.ComponentResourceOptions) {
    super("lab:index:WebApp", name, {}, opts);
    const { topology, image, network, rollingSteps, running, readyTimeout } = args;
    const { nodes, balancers, possibleBalancers, label } = topology;
    const gossipKey = args.gossipKey.content;
    const template = readTemplate();
    const proxies = Object.fromEntries(
      balancers.map(({ containerName, proxy }) => [containerName, { template, settings: proxy }]),
    );
    let before: NodesReady | undefined;
    for (const [i, group] of splitIntoGroups(nodes, rollingSteps).entries()) {
      const inTurn = { parent: this, dependsOn: before ? [before] : [] };
      for (const member of group) {
        const opts = running.has(member.name) ? inTurn : { parent: this };
        const place = placeOf(member, network.name);
        const parts = { member, place, image, label, gossipKey };
        this.runs[member.name] = createMemberContainer(parts, opts).id;
      }
      const containers = Object.fromEntries(
        group.map((member) => [member.name, this.runs[member.name]]),
      );
      before = new NodesReady(
        `group${i + 1}`,
        { balancers: possibleBalancers, containers, proxies, readyTimeout },
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
