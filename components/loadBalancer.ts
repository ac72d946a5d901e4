import type * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import type { Declaration } from "../configurator/protocol/declaration";
import type { ProxyNode, ProxySettings } from "../haproxy/render";
import { createMemberContainer } from "./memberContainer";
import { HaproxyConfig, readTemplate, StatsPassword } from "./haproxyConfig";
import type { Member, Topology } from "../config/topology";

export interface LoadBalancerArgs {
  member: Member;
  /** Id of the balancer's image. */
  image: pulumi.Input<string>;
  /** Name of the lab's network. */
  network: pulumi.Input<string>;
  label: Topology["label"];
  /** Key that encrypts gossip, 32 bytes in base64; secret. */
  gossipKey: pulumi.Input<string>;
  settings: ProxySettings;
  /** The statistics' password where `settings` say that they ask for one; secret. */
  statsPassword: string;
  /** The servers to balance over. */
  servers: ProxyNode[];
  /** What servers added by hand may be. */
  handMade: Declaration["handMade"];
  /** The servers' containers by name: the config is pushed, and waited for, when they run. */
  serverContainers: Record<string, docker.Container>;
  /** What the balancer's replacement waits for: the old one serves until the nodes are new. */
  after: pulumi.Resource[];
  /** Longest wait until every server passes its health check, s. */
  readyTimeout: number;
}

/** HAProxy's container and the configuration it runs on. */
export class LoadBalancer extends pulumi.ComponentResource {
  constructor(name: string, args: LoadBalancerArgs, opts?: pulumi.ComponentResourceOptions) {
    super("lab:index:LoadBalancer", name, {}, opts);
    const { settings, statsPassword, servers, handMade, ...rest } = args;
    const { serverContainers, after, readyTimeout, ...container } = rest;
    const balancer = createMemberContainer(container, { parent: this, dependsOn: after });
    const password =
      settings.statsAuth && new StatsPassword("stats", statsPassword, { parent: this });
    new HaproxyConfig(
      "haproxy.cfg",
      {
        container: balancer.id,
        backends: Object.fromEntries(
          Object.entries(serverContainers).map(([server, { id }]) => [server, id]),
        ),
        declaration: {
          template: readTemplate(),
          settings,
          nodes: servers,
          handMade,
        },
        ...(password && { statsPasswordHash: password.hash }),
        readyTimeout,
      },
      { parent: this },
    );
    this.registerOutputs({});
  }
}
