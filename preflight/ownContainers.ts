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

/**
 * The names of the declared nodes whose containers are there and run, or on a Swarm whose services are
 * there; and of the balancers that run on a haproxy.cfg: one that an update which was cut off left without
 * serves nobody.
 */
export function listRunning({ topology }: DeclaredLab, { containers, swarm }: Host): Set<string> {
  const services = swarm?.services.filter(({ own }) => own).map(({ name }) => name) ?? [];
  const own = containers.filter((it) => it.state === "running" && it.claim !== undefined);
  const runs = new Set([...own.map(({ name }) => name), ...services]);
  const serves = new Set(own.filter((it) => it.configured).map(({ name }) => name));
  const nodes = topology.nodes.filter(({ containerName }) => runs.has(containerName));
  const balancers = topology.balancers.filter(({ containerName }) => serves.has(containerName));
  return new Set([...nodes, ...balancers].map(({ name }) => name));
}
