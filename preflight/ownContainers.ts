/** The lab's own containers as they are. */
import { containersOf } from "../config/topology";
import { describeStopped, STILL } from "../docker/containerState";
import type { DeclaredLab, Host } from "./host";

/**
 * What stands still of the lab although nobody undeclared it. Pulumi compares with its record alone,
 * so a plain update would change nothing of it, or wait for it.
 */
export function listStopped({ config, topology }: DeclaredLab, { containers }: Host): string[] {
  return containersOf(topology).flatMap(({ name, containerName }) =>
    containers
      .filter((it) => it.name === containerName && it.claim !== undefined)
      .filter(({ state }) => STILL.includes(state))
      .map(({ state }) => `${name} ${describeStopped(containerName, state, config.stack)}`),
  );
}

/** The names of the declared nodes whose containers are there and run, or on a Swarm whose services are there. */
export function listRunning({ topology }: DeclaredLab, { containers, swarm }: Host): Set<string> {
  const services = swarm?.services.filter(({ own }) => own).map(({ name }) => name) ?? [];
  const own = containers.filter((it) => it.state === "running" && it.claim !== undefined);
  const containerNames = new Set([...own.map(({ name }) => name), ...services]);
  const nodes = topology.nodes.filter(({ containerName }) => containerNames.has(containerName));
  return new Set(nodes.map(({ name }) => name));
}
