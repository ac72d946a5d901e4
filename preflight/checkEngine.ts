import { coerce, gte } from "semver";
import type { Check } from "./host";

/** The oldest engine that the lab is tested with; older ones don't run on cgroup v2 hosts either. */
export const MIN_ENGINE = { version: "20.10", api: "1.41" };

export const checkEngine: Check = (_, { engine }) => {
  const { address, source, version, api } = engine;
  if (gte(coerce(api) ?? "0.0.0", coerce(MIN_ENGINE.api)!)) return [];
  return [
    `the Docker engine at ${address} (${source}) is version ${version} with API ${api}; ` +
      `allowed is ${MIN_ENGINE.version} with API ${MIN_ENGINE.api} or newer`,
  ];
};
