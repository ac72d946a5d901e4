import { CheckFailure } from "../pluginServer";
import { refuse } from "./properties";

/**
 * Checks the provider's own settings. The engine is the one that the environment names; of the
 * settings only the one that says the same can be accepted.
 */
export function checkSettings(
  settings: Record<string, unknown>,
  env: NodeJS.ProcessEnv = process.env,
): CheckFailure[] {
  return Object.entries(settings)
    .filter(([key, value]) => key !== "version" && !(key === "host" && value === env.DOCKER_HOST))
    .map(([property]) => ({ property, reason: refuse(property) }));
}
