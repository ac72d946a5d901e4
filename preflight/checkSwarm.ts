import { coerce, lt } from "semver";
import { refusal } from "../config/labConfig";
import { containersOf } from "../config/topology";
import { MIN_ENGINE } from "./checkEngine";
import type { Check } from "./host";
import { list } from "./messages";

/** A Swarm with this engine as a manager, free names, and a registry that takes the images. */
export const checkSwarm: Check = ({ config, topology }, { engine, swarm }) => {
  if (config.orchestrator !== "swarm") return [];
  const problems: string[] = [];
  const where = `the Docker engine at ${engine.address} (${engine.source})`;
  if (swarm === undefined || swarm.state !== "active") {
    const state = swarm?.state ?? "inactive";
    const way = "docker swarm init there, or npm run machines for a Swarm on this host";
    return [
      refusal(config, "orchestrator", `docker, as ${where} is in no Swarm (${state}); ${way}`),
    ];
  }
  if (!swarm.isManager) {
    const managers = list(swarm.managers) || "none is known";
    problems.push(
      refusal(
        config,
        "orchestrator",
        `swarm with DOCKER_HOST at a manager (${managers}): ${where} is a worker`,
      ),
    );
  }
  // The balancer there is who is asked whether all serve.
  if (swarm.availability === "drain") {
    problems.push(
      refusal(
        config,
        "orchestrator",
        `swarm with DOCKER_HOST at a manager that is not drained as ${where}`,
      ),
    );
  }
  const old = swarm.engines
    .filter(({ version }) => lt(coerce(version) ?? "0.0.0", coerce(MIN_ENGINE.version)!))
    .map(({ name, version }) => `${name} has ${version}`);
  if (old.length > 0) {
    const allowed = `swarm of engines of version ${MIN_ENGINE.version} or newer (${list(old)})`;
    problems.push(refusal(config, "orchestrator", allowed));
  }
  if (swarm.error !== undefined) problems.push(`the Swarm of ${where}: ${swarm.error}`);
  const wanted = new Set(containersOf(topology).map(({ containerName }) => containerName));
  const holders = swarm.services
    .filter(({ name, own }) => wanted.has(name) && !own)
    .map(({ name }) => `service ${name}`);
  if (holders.length > 0) {
    const allowed = `a prefix whose names are free, or remove what holds them (${list(holders)})`;
    problems.push(refusal(config, "namePrefix", allowed));
  }
  if (swarm.registryError !== undefined) {
    const allowed = `a registry that ${where} may push to (it says: ${swarm.registryError})`;
    problems.push(refusal(config, "registry", allowed));
  }
  return problems;
};
