import { isIPv4 } from "node:net";
import * as pulumi from "@pulumi/pulumi";
import { maxNodes, parseSubnet } from "./addressPlan";

/** The stack's configuration, checked. Defaults and descriptions stand in Pulumi.yaml. */
export interface LabConfig {
  /** Name of the stack; it tags the images. */
  stack: string;
  nodeCount: number;
  subnet: string;
  namePrefix: string;
  publishAddress: string;
  adminAddress: string;
  httpPort: number;
  statsPort: number;
  adminPort: number;
  /** First host port of the nodes; 0 publishes none. */
  nodePorts: number;
  /** ms */
  serverTimeout: number;
  stickySessions: boolean;
  /** s */
  readyTimeout: number;
}

/** The only reader of the stack's configuration. @throws Error as {@link checkConfig} does */
export function readConfig(): LabConfig {
  const config = new pulumi.Config();
  return checkConfig({
    stack: pulumi.getStack(),
    nodeCount: config.requireNumber("nodeCount"),
    subnet: config.require("subnet"),
    namePrefix: config.require("namePrefix"),
    publishAddress: config.require("publishAddress"),
    adminAddress: config.require("adminAddress"),
    httpPort: config.requireNumber("httpPort"),
    statsPort: config.requireNumber("statsPort"),
    adminPort: config.requireNumber("adminPort"),
    nodePorts: config.requireNumber("nodePorts"),
    serverTimeout: config.requireNumber("serverTimeout"),
    stickySessions: config.requireBoolean("stickySessions"),
    readyTimeout: config.requireNumber("readyTimeout"),
  });
}

const MAX_PORT = 65535;

/** Docker: a letter or digit, then letters, digits, `_`, `.`, `-`; image names are lower case. */
const NAME_PREFIX = /^([a-z0-9][a-z0-9_.-]{0,30})?$/;

/**
 * Checks ranges and what must fit together.
 *
 * @returns the same configuration
 * @throws Error with a line for each value that is not allowed: key, value, what is allowed
 */
export function checkConfig(config: LabConfig): LabConfig {
  const problems: string[] = [];
  const refuse = (key: keyof LabConfig, allowed: string) =>
    problems.push(`${key}: ${JSON.stringify(config[key])} is not allowed; ${allowed}`);
  const checkRange = (key: keyof LabConfig, min: number, max: number, what: string) => {
    const value = config[key] as number;
    if (!Number.isInteger(value) || value < min || value > max) {
      refuse(key, `${what} from ${min} to ${max}`);
    }
  };

  const subnet = parseSubnet(config.subnet);
  if (typeof subnet === "string") refuse("subnet", subnet);
  else
    checkRange("nodeCount", 0, maxNodes(subnet), `a number of nodes that ${config.subnet} holds,`);
  if (!NAME_PREFIX.test(config.namePrefix)) {
    refuse("namePrefix", "nothing, or up to 31 of a-z 0-9 _ . - that begin with a-z or 0-9");
  }
  for (const key of ["publishAddress", "adminAddress"] as const) {
    if (!isIPv4(config[key])) refuse(key, "an IPv4 address of this host, or 0.0.0.0 for all");
  }
  for (const key of ["httpPort", "statsPort", "adminPort"] as const) {
    checkRange(key, 1, MAX_PORT, "a port");
  }
  checkRange("serverTimeout", 100, 60_000, "milliseconds");
  checkRange("readyTimeout", 1, 3600, "seconds");
  checkNodePorts(config, refuse);
  checkPortsDiffer(config, refuse);

  if (problems.length > 0) throw new Error(`configuration\n  ${problems.join("\n  ")}`);
  return config;
}

type Refuse = (key: keyof LabConfig, allowed: string) => void;

function checkNodePorts({ nodePorts, nodeCount }: LabConfig, refuse: Refuse): void {
  const last = MAX_PORT - Math.max(nodeCount, 1) + 1;
  if (!Number.isInteger(nodePorts) || nodePorts < 0 || nodePorts > last) {
    refuse("nodePorts", `0, or a first port from 1 to ${last} for ${nodeCount} nodes`);
  }
}

function checkPortsDiffer(config: LabConfig, refuse: Refuse): void {
  const keys = ["httpPort", "statsPort", "adminPort"] as const;
  keys.forEach((key, i) => {
    const twin = keys.slice(0, i).find((other) => config[other] === config[key]);
    if (twin) refuse(key, `a port that ${twin} does not use`);
    const { nodePorts, nodeCount } = config;
    const isNodes =
      nodePorts > 0 && config[key] >= nodePorts && config[key] < nodePorts + nodeCount;
    if (isNodes)
      refuse(key, `a port outside the nodes' own ${nodePorts}-${nodePorts + nodeCount - 1}`);
  });
}
