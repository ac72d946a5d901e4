import { coerce, gte } from "semver";
import { refusal } from "../config/labConfig";
import type { Check } from "./host";

/**
 * Since when Linux can give a connection that waits for a listener which ends to another one
 * (Documentation/networking/ip-sysctl.rst, tcp_migrate_req).
 */
const MIGRATES_SINCE = "5.14";

/** With an older kernel a balancer that ends would take waiting connections with it. */
export const checkBalancers: Check = ({ config }, { engine: { kernel } }) => {
  const isNewer = gte(coerce(kernel) ?? "0.0.0", coerce(MIGRATES_SINCE)!);
  if (config.balancers === 1 || isNewer) return [];
  const allowed = `1 while the engine's kernel is ${kernel}: 2 need ${MIGRATES_SINCE} or newer`;
  return [refusal(config, "balancers", `${allowed} (net.ipv4.tcp_migrate_req)`)];
};
