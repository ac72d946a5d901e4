import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import type { ProxyNode } from "../haproxy/render";
import { describeMember } from "../config/member";
import { createMemberContainer, placeOf, type MemberContainerArgs } from "./memberContainer";
import { declare, HaproxyConfig, StatsPassword } from "./haproxyConfig";
import type { Topology } from "../config/topology";
import type { SharedKey } from "./gossip";

export interface LoadBalancerArgs {
  /** One balancer, which is the front itself, or two, which share its network. */
  topology: Topology;
  /** Of the balancers; see components/images.ts. */
  image: pulumi.Input<string>;
  /** Of the front where there are two balancers. */
  frontImage?: pulumi.Input<string>;
  network: docker.Network;
  /** What the engines run on, such as `linux/amd64`. */
  platform: string;
  gossipKey: SharedKey;
  /** The statistics' password; empty when they ask for none; secret. */
  statsPassword: string;
  /** The servers to balance over. */
  servers: ProxyNode[];
  /** What each server runs in, by its name: the config is pushed, and waited for, when they run. */
  runs: Record<string, pulumi.Input<string>>;
  /** What a balancer's replacement waits for: the old one serves until the nodes are new. */
  after: pulumi.Resource[];
  /** Names of the balancers and nodes that run: only one balancer at a time is replaced then. */
  running: ReadonlySet<string>;
  /** Longest wait until every server passes its health check, s. */
  readyTimeout: number;
}

/** A connection that waits for a balancer which ends goes to the other one; Linux 5.14 and newer. */
const MIGRATE_CONNECTIONS = { "net.ipv4.tcp_migrate_req": "1" };

/** HAProxy's containers and the configuration that each runs on. */
export class LoadBalancer extends pulumi.ComponentResource {
  constructor(name: string, args: LoadBalancerArgs, opts?: pulumi.ComponentResourceOptions) {
    super("lab:index:LoadBalancer", name, {}, opts);
    const { topology, image, statsPassword, readyTimeout, running } = args;
    const { balancers, front, label } = topology;
    const gossipKey = args.gossipKey.content;
    const isPair = balancers.length > 1;
    const place = isPair ? this.createFront(args) : placeOf(front, args.network.name);
    const password =
      statsPassword !== "" && new StatsPassword("stats", statsPassword, { parent: this });
    let dependsOn = args.after;
    // The second first, and before it one that does not serve: the last that does waits for another.
    const inTurn = [...balancers]
      .reverse()
      .sort((a, b) => Number(running.has(a.name)) - Number(running.has(b.name)));
    for (const { proxy, ...balancer } of inTurn) {
      const member = { ...balancer, role: "balancer" } as const;
      const container = createMemberContainer(
        { member, place, image, label, gossipKey },
        { parent: this, dependsOn },
      );
      const config = new HaproxyConfig(
        isPair ? `${balancer.name}-haproxy.cfg` : "haproxy.cfg",
        {
          container: container.id,
          backends: args.runs,
          declaration: declare(topology, proxy, args.servers),
          ...(password && { statsPasswordHash: password.hash }),
          readyTimeout,
        },
        { parent: this, dependsOn },
      );
      if (running.size > 0) dependsOn = [config];
    }
    this.registerOutputs({});
  }

  /** @returns the balancers' place: the network of a container that only its own settings replace */
  private createFront(args: LoadBalancerArgs): MemberContainerArgs["place"] {
    const { topology, frontImage, network, after } = args;
    const { front, label } = topology;
    const volume = new docker.Volume(
      "front",
      { name: front.containerName, labels: [label] },
      { parent: this },
    );
    const volumes = [{ volumeName: volume.name, containerPath: "/run/front" }];
    const container = new docker.Container(
      front.name,
      {
        ...describeMember(front, label, "pulumi"),
        ...placeOf(front, network.name),
        name: front.containerName,
        image: frontImage!,
        volumes,
        sysctls: MIGRATE_CONNECTIONS,
      },
      { parent: this, dependsOn: after },
    );
    return { networkMode: pulumi.interpolate`container:${container.id}`, volumes };
  }
}
