import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { revisionOf } from "../../configurator/protocol/declaration";
import { createSecret } from "../gossip";
import { declare, StatsPassword } from "../haproxyConfig";
import type { LoadBalancerArgs } from "../loadBalancer";
import { createMemberService, secretFile } from "./memberService";
import { SwarmHaproxyConfig } from "./serving";
import { ONE_AFTER_THE_OTHER } from "./webapp";

/** Where images/ha looks for what it is told on a Swarm: configurator/paths.ts. */
const DECLARATION = "/etc/lab/declaration.json";
const PASSWORD_HASH = "/etc/lab/stats-password-hash";

/** A balancer on every engine of a Swarm, and the configuration that they all run on. */
export class SwarmLoadBalancer extends pulumi.ComponentResource {
  constructor(name: string, args: LoadBalancerArgs, opts?: pulumi.ComponentResourceOptions) {
    super("lab:index:SwarmLoadBalancer", name, {}, opts);
    const { topology, image, statsPassword, servers, runs, readyTimeout } = args;
    const { label, swarm } = topology;
    const [{ proxy, ...balancer }] = topology.balancers;
    const child = { parent: this };

    // Without nodes, so that it stays while they come and go: a new one restarts every balancer.
    const declaration = declare(topology, proxy, []);
    const data = JSON.stringify(declaration);
    const config = new docker.ServiceConfig(
      "declaration",
      {
        name: `${topology.network.name}-declaration-${revisionOf(declaration)}`,
        data: Buffer.from(data).toString("base64"),
      },
      { ...child, deleteBeforeReplace: false },
    );
    const { hash } = new StatsPassword("stats", statsPassword, child);
    const password = createSecret("stats", topology.network.name, hash, label, child);

    const service = createMemberService(
      {
        ...args,
        member: { ...balancer, role: "balancer" },
        hostname: `${balancer.name}-{{.Node.Hostname}}`,
        label,
        constraints: [],
        registry: swarm!.registry,
        mode: { global: true },
        updateConfig: { ...ONE_AFTER_THE_OTHER, delay: "5s", failureAction: "rollback" },
        endpointSpec: {
          mode: swarm!.publishMode === "host" ? "dnsrr" : "vip",
          ports: topology.front.ports.map(({ internal, external }) => ({
            targetPort: internal,
            publishedPort: external,
            publishMode: swarm!.publishMode,
            protocol: "tcp",
          })),
        },
        secrets: [secretFile(password, PASSWORD_HASH)],
        configs: [{ configId: config.id, configName: config.name, fileName: DECLARATION }],
      },
      { ...child, dependsOn: args.after },
    );
    new SwarmHaproxyConfig(
      "haproxy.cfg",
      {
        balancer: balancer.containerName,
        balancerRun: pulumi.interpolate`${service.id} ${image} ${config.id} ${password.id}`,
        runs,
        declaration,
        servers,
        readyTimeout,
      },
      child,
    );
    this.registerOutputs({});
  }
}
