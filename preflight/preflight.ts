import * as pulumi from "@pulumi/pulumi";
import { listWarnings, refuseIfAny } from "../config/labConfig";
import { checkAddresses } from "./checkAddresses";
import { checkBalancers } from "./checkBalancers";
import { checkEngine } from "./checkEngine";
import { checkHandMade } from "./checkHandMade";
import { checkLeft } from "./checkLeft";
import { checkNames } from "./checkNames";
import { checkPorts } from "./checkPorts";
import { checkSubnet } from "./checkSubnet";
import { checkSwarm } from "./checkSwarm";
import { checkTemplate, renderTemplate } from "./checkTemplate";
import type { Check, DeclaredLab } from "./host";
import { inspectHost } from "./inspectHost";
import { checkNeighbours } from "./neighbours";
import { listRunning, listStopped } from "./ownContainers";

/** What a message lists first comes first. */
const CHECKS: Check[] = [
  checkEngine,
  checkSwarm,
  checkBalancers,
  checkSubnet,
  checkNames,
  checkLeft,
  checkHandMade,
  checkNeighbours,
  checkAddresses,
  checkPorts,
];

/**
 * Looks for what would stop the lab halfway, before the program declares its first resource, also in
 * a preview. Docker has the last word: what the host does meanwhile is not seen.
 *
 * @returns the names of the lab's nodes and balancers that run: only those have service that a change interrupts
 * @throws pulumi.RunError with all that was found, each with key, value and what is allowed
 */
export async function preflight(lab: DeclaredLab): Promise<Set<string>> {
  const rendered = renderTemplate(lab);
  const problems = "problem" in rendered ? [rendered.problem] : [];
  const warnings = listWarnings(lab.config);
  let running = new Set<string>();
  try {
    const host = await inspectHost(lab);
    running = listRunning(lab, host);
    warnings.push(...listStopped(lab, host));
    problems.push(...findProblems(lab, host));
    if ("text" in rendered) problems.push(...(await checkTemplate(lab, host, rendered.text)));
  } catch (error) {
    problems.push((error as Error).message);
  }
  refuseIfAny(problems);
  for (const warning of warnings) void pulumi.log.warn(warning);
  return running;
}

/** What of the host is in the lab's way, a text for each problem. */
export const findProblems: Check = (lab, host) => CHECKS.flatMap((check) => check(lab, host));
