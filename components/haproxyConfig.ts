import { readFileSync } from "node:fs";
import * as pulumi from "@pulumi/pulumi";
import type { Declaration } from "../configurator/protocol/declaration";
import { renderHaproxyConfig, type ProxyNode, type ProxySettings } from "../haproxy/render";
import type { Topology } from "../config/topology";

/** Where the checkout has the one template. */
export const TEMPLATE = "haproxy/haproxy.cfg.hbs";

export const readTemplate = () => readFileSync(TEMPLATE, "utf8");

/** What a balancer is told. */
export function declare(
  { appPort, handMadeRange }: Topology,
  settings: ProxySettings,
  nodes: ProxyNode[],
): Declaration {
  const handMade = { range: handMadeRange, port: appPort };
  return { template: readTemplate(), settings, nodes, handMade };
}

export interface HaproxyConfigArgs {
  /** Id of the running balancer. */
  container: pulumi.Input<string>;
  /** Container id of each node, by name: a node in a new container is waited for again. */
  backends: pulumi.Input<Record<string, pulumi.Input<string>>>;
  /** Template, settings and nodes; plain, so that a preview can render them. */
  declaration: Declaration;
  /** bcrypt hash of the statistics' password, if they ask for one; secret. */
  statsPasswordHash?: pulumi.Input<string>;
  /** Longest wait until every node serves, s. */
  readyTimeout: number;
}

/**
 * haproxy.cfg in the balancer, made by providers/lab. Its diff is the diff of the file. A change is
 * an update in place; it ends when HAProxy has passed a health check of every declared node.
 */
export class HaproxyConfig extends pulumi.CustomResource {
  /** The rendered file. */
  declare readonly text: pulumi.Output<string>;

  constructor(name: string, args: HaproxyConfigArgs, opts?: pulumi.CustomResourceOptions) {
    const { container, backends, declaration, statsPasswordHash, readyTimeout } = args;
    const { template, settings, nodes } = declaration;
    const text = renderHaproxyConfig(template, settings, nodes);
    const timeout = `${readyTimeout}s`;
    super(
      "lab:index:HaproxyConfig",
      name,
      { container, text, backends, statsPasswordHash, __declaration: declaration },
      { customTimeouts: { create: timeout, update: timeout }, ...opts },
    );
  }
}

/** The hash of the statistics' password, made by providers/lab and kept until the password changes. */
export class StatsPassword extends pulumi.CustomResource {
  /** bcrypt hash; secret. */
  declare readonly hash: pulumi.Output<string>;

  /** @param password 8 to 72 printable ASCII characters; kept as a secret, whatever it comes as */
  constructor(name: string, password: pulumi.Input<string>, opts?: pulumi.CustomResourceOptions) {
    super(
      "lab:index:StatsPassword",
      name,
      { password: pulumi.secret(password), hash: undefined },
      opts,
    );
  }
}
