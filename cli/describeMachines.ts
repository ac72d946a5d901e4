/** What `npm run machines` tells, as functions on plain data. */
import { REGISTRY, REGISTRY_NAME, type Machine } from "../machines/machines";
import { REGISTRY_USER } from "../machines/registry";
import { formatTable } from "./table";

/** Everything there is. */
export interface Machines {
  machines: Machine[];
  /** The Swarm's word for each machine, by its name; none where its manager does not answer. */
  swarm: Record<string, string>;
  /** Docker's word for the registry's container. */
  registry: string | undefined;
}

const NOWHERE = ["-", "-", "-"];

/** A line for each machine and one for the registry. */
export function describeMachines({ machines, swarm, registry }: Machines): string[] {
  const rows = machines.map(({ number, name, state, url, statsUrl, dockerHost }) => {
    const role = number === 1 ? "manager" : "worker";
    return [name, state, role, swarm[name] ?? "unknown", url, statsUrl, dockerHost];
  });
  if (registry) rows.push([REGISTRY_NAME, registry, "registry", "-", ...NOWHERE]);
  const header = ["machine", "state", "role", "in the Swarm", "port 80", "port 1936", "Docker API"];
  return formatTable(header, rows);
}

/**
 * How one works on the Swarm.
 *
 * @param dockerHost of the manager
 * @param passwordFile has the registry's password
 */
export function describeUse(dockerHost: string, passwordFile: string): string[] {
  return [
    `export DOCKER_HOST=${dockerHost}`,
    "npx pulumi stack init swarm",
    "npx pulumi config set orchestrator swarm",
    `npx pulumi config set registry ${REGISTRY}`,
    `npx pulumi config set registryUser ${REGISTRY_USER}`,
    `npx pulumi config set --secret registryPassword < "${passwordFile}"`,
    "npx pulumi config set --secret statsPassword",
    "npx pulumi up",
  ];
}

/** What a user may do next. @param machine one that may be killed */
export function describeNext(machine: number): string[] {
  const lines = [
    [`npm run machines -- kill ${machine}`, "as if the machine lost its power"],
    [`npm run machines -- start ${machine}`, "bring it back"],
    ["npm run machines", "what there is"],
    ["npm run machines -- down", "take all away"],
  ];
  const width = Math.max(...lines.map(([command]) => command.length)) + 4;
  return lines.map(([command, what]) => command.padEnd(width) + what);
}
