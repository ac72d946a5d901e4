import * as pulumi from "@pulumi/pulumi";
import { splitIntoGroups, type WebAppArgs } from "../webapp";
import { createMemberService } from "./memberService";
import { SwarmNodesReady } from "./serving";

/** The web nodes on a Swarm: a service each, as Swarm itself would choose which replica of one service goes. */
export class SwarmWebApp extends pulumi.ComponentResource {
  /** What each node runs as, by its name: another image is another run. */
  readonly runs: Record<string, pulumi.Output<string>> = {};
  /** For what has to wait until all nodes are replaced and serve. */
  readonly ready: SwarmNodesReady;

  constructor(name: string, args: WebAppArgs, opts?: pulumi.ComponentResourceOptions) {
    super("lab:index:SwarmWebApp", name, {}, opts);
    const { topology, image, running, readyTimeout, rollingSteps } = args;
    const { constraints, registry } = topology.swarm!;
    const [balancer] = topology.balancers;
    let before: SwarmNodesReady | undefined;
    for (const [i, group] of splitIntoGroups(topology.nodes, rollingSteps).entries()) {
      const inTurn = { parent: this, dependsOn: before ? [before] : [] };
      for (const member of group) {
        const { id } = createMemberService(
          {
            ...args,
            member,
            hostname: member.name,
            label: topology.label,
            constraints,
            registry,
            mode: { replicated: { replicas: 1 } },
            updateConfig: ONE_AFTER_THE_OTHER,
            endpointSpec: { mode: "dnsrr" },
          },
          running.has(member.name) ? inTurn : { parent: this },
        );
        this.runs[member.name] = pulumi.interpolate`${id} ${image} ${constraints.join(" ")}`;
      }
      const runs = Object.fromEntries(group.map((it) => [it.name, this.runs[it.name]]));
      before = new SwarmNodesReady(
        `group${i + 1}`,
        { balancer: balancer.containerName, runs, readyTimeout },
        inTurn,
      );
    }
    this.ready = before!;
    this.registerOutputs({});
  }
}

/** The old task leaves in order before the new one starts: it has the name, and on its engine the port. */
export const ONE_AFTER_THE_OTHER = {
  order: "stop-first",
  parallelism: 1,
  delay: "0s",
  monitor: "5s",
  failureAction: "pause",
};
