/** What `npm run machines` makes, for tests: one at a time has them on this host. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type Docker from "dockerode";
import { cache, checkout } from "../../cli/setup/places";
import { connectMachine, listMachines, REGISTRY, type Machine } from "../../machines/machines";
import { REGISTRY_USER } from "../../machines/registry";
import type { LabHost } from "./checkout";

export const PASSWORD_FILE = join(cache, "machines", "registry-password");

export const portOf = (url: string) => Number(new URL(url).port);

/** Runs the command and gives what it printed; in the same terminal as the lab's commands would be. */
export async function runMachines(machines: Machine[], ...args: string[]): Promise<string> {
  const script = ["--require", "tsx/cjs", "cli/machines.ts", ...args];
  const DOCKER_HOST = machines[0]?.dockerHost ?? "";
  const options = { cwd: checkout, env: { ...process.env, DOCKER_HOST } };
  return (await promisify(execFile)(process.execPath, script, options)).stdout;
}

/** @throws if there are some: a person's own would be taken away */
export async function expectNoMachines(): Promise<void> {
  const names = (await listMachines()).map(({ name }) => name);
  if (names.length > 0) {
    throw new Error(`there are machines already: ${names.join(", ")}; npm run machines -- down`);
  }
}

/** The place of a lab on the Swarm of these machines, of which the first is the manager. */
export function onSwarm([manager]: Machine[]): LabHost {
  return {
    engine: connectMachine(manager),
    dockerHost: manager.dockerHost,
    config: {
      orchestrator: "swarm",
      registry: REGISTRY,
      registryUser: REGISTRY_USER,
      registryPassword: readFileSync(PASSWORD_FILE, "utf8"),
      statsPassword: "only for the test",
      // Each machine's own; their ports of this host are others.
      httpPort: 80,
      statsPort: 1936,
      adminPort: 9999,
      secondStatsPort: 1937,
      secondAdminPort: 9998,
      nodePorts: 0,
    },
  };
}

/** The running container of a service on a machine, if it has one there. */
export async function findTask(
  machine: Machine,
  service: string,
): Promise<Docker.Container | undefined> {
  const engine = connectMachine(machine);
  const filters = { label: [`com.docker.swarm.service.name=${service}`], status: ["running"] };
  const [found] = await engine.listContainers({ filters });
  return found && engine.getContainer(found.Id);
}
