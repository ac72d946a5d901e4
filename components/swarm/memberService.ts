import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { aliasesOf, describeMember, KEY_FILE, STOP_SECONDS } from "../../config/member";
import type { Member, SwarmPlan, Topology } from "../../config/topology";
import type { SharedKey } from "../gossip";

/** What a member's service is made of beside its place in the topology. */
export interface MemberServiceArgs {
  member: Pick<Member, "name" | "containerName" | "role">;
  /** Of its tasks; on every engine another one where it holds Swarm's `{{.Node.Hostname}}`. */
  hostname: string;
  /** Name in the registry, with its digest. */
  image: pulumi.Input<string>;
  network: docker.Network;
  label: Topology["label"];
  registry: SwarmPlan["registry"];
  gossipKey: SharedKey;
  mode: docker.types.input.ServiceMode;
  updateConfig: docker.types.input.ServiceUpdateConfig;
  endpointSpec: docker.types.input.ServiceEndpointSpec;
  /** Constraints on the engines of its tasks. */
  constraints: string[];
  /** What its engines run on, such as `linux/amd64`. */
  platform: string;
  /** Secrets beside the key. */
  secrets?: docker.types.input.ServiceTaskSpecContainerSpecSecret[];
  configs?: docker.types.input.ServiceTaskSpecContainerSpecConfig[];
}

const MEBIBYTE = 1024 * 1024;

/** One service of the lab: made of the same as its container on one engine would be. */
export function createMemberService(
  args: MemberServiceArgs,
  opts: pulumi.CustomResourceOptions,
): docker.Service {
  const { member, hostname, image, network, label, gossipKey, constraints, registry } = args;
  const { envs, capabilities, memory, logDriver, logOpts } = describeMember(
    member,
    label,
    "pulumi",
  );
  const [os, architecture] = args.platform.split("/");
  return new docker.Service(
    member.name,
    {
      name: member.containerName,
      labels: [label],
      mode: args.mode,
      updateConfig: args.updateConfig,
      endpointSpec: args.endpointSpec,
      auth: {
        serverAddress: registry.server,
        username: registry.username,
        password: pulumi.secret(registry.password),
      },
      taskSpec: {
        containerSpec: {
          image,
          hostname,
          env: {
            ...Object.fromEntries(envs.map((env) => env.split("=") as [string, string])),
            ORCHESTRATOR: "swarm",
          },
          capDrops: capabilities.drops,
          capAdds: capabilities.adds,
          secrets: [secretFile(gossipKey.secret!, KEY_FILE.path), ...(args.secrets ?? [])],
          ...(args.configs && { configs: args.configs }),
          stopGracePeriod: `${STOP_SECONDS}s`,
        },
        // In one order, and by the network's id: else each refresh finds another service.
        networksAdvanceds: [{ id: network.id, aliases: aliasesOf(member.name).sort() }],
        restartPolicy: { condition: "any", delay: "1s", window: "0s" },
        resources: { limits: { memoryBytes: memory * MEBIBYTE } },
        // Also without constraints: what is left out stays as it was.
        placement: { constraints, platforms: [{ os, architecture }] },
        logDriver: { name: logDriver, options: logOpts },
      },
    },
    // Else the plugin would replace every service for another password.
    { ...opts, ignoreChanges: ["auth"] },
  );
}

/** Root's alone, as on one engine. */
export function secretFile(secret: docker.Secret, fileName: string) {
  return {
    secretId: secret.id,
    secretName: secret.name,
    fileName,
    fileMode: 0o400,
    fileUid: "0",
    fileGid: "0",
  };
}
