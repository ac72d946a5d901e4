import { isIPv4 } from "node:net";
import * as pulumi from "@pulumi/pulumi";
import { isPrivate, MAX_NODES, maxNodes, parseSubnet } from "./addressPlan";

/** The stack's configuration, checked. Defaults and descriptions stand in Pulumi.yaml. */
export interface LabConfig {
  /** Name of the stack; it tags the images. */
  stack: string;
  nodeCount: number;
  subnet: string;
  namePrefix: string;
  publishAddress: string;
  adminAddress: string;
  /** Secret: no message has it. Empty for a stats page without a password. */
  statsPassword: string;
  httpPort: number;
  statsPort: number;
  adminPort: number;
  /** First host port of the nodes; 0 publishes none. */
  nodePorts: number;
  /** ms */
  serverTimeout: number;
  stickySessions: boolean;
  /** Number of groups of nodes that a changed image replaces one after the other. */
  rollingSteps: number;
  /** s */
  readyTimeout: number;
}

/**
 * The only reader of the stack's configuration.
 *
 * @throws pulumi.RunError as {@link checkConfig} does and for keys that there are not, or Pulumi's
 *   own for a wrong type
 */
export function readConfig(): LabConfig {
  const config = new pulumi.Config();
  const read: LabConfig = {
    stack: pulumi.getStack(),
    nodeCount: config.requireNumber("nodeCount"),
    subnet: config.require("subnet"),
    namePrefix: config.require("namePrefix"),
    publishAddress: config.require("publishAddress"),
    adminAddress: config.require("adminAddress"),
    statsPassword: config.require("statsPassword"),
    httpPort: config.requireNumber("httpPort"),
    statsPort: config.requireNumber("statsPort"),
    adminPort: config.requireNumber("adminPort"),
    nodePorts: config.requireNumber("nodePorts"),
    serverTimeout: config.requireNumber("serverTimeout"),
    stickySessions: config.requireBoolean("stickySessions"),
    rollingSteps: config.requireNumber("rollingSteps"),
    readyTimeout: config.requireNumber("readyTimeout"),
  };
  refuseOtherKeys(config.name, Object.keys(read));
  refusePlainPassword(config.name, read);
  return checkConfig(read);
}

/** Pulumi takes any key: without this a misspelt one would be set and change nothing. */
function refuseOtherKeys(namespace: string, known: string[]): void {
  const others = Object.keys(pulumi.runtime.allConfig())
    .filter((key) => key.startsWith(`${namespace}:`))
    .map((key) => key.slice(namespace.length + 1))
    .filter((key) => key === "stack" || !known.includes(key));
  const keys = known.filter((key) => key !== "stack").join(", ");
  refuseIfAny(others.map((key) => `${key}: there is no such key; there is ${keys}`));
}

/**
 * The stack's file is tracked, so a password in it has to be encrypted. `secret` in Pulumi.yaml would
 * refuse the default too. The keys come as the language host passes them to each program.
 */
function refusePlainPassword(namespace: string, read: LabConfig): void {
  const secrets = JSON.parse(process.env.PULUMI_CONFIG_SECRET_KEYS || "[]") as string[];
  if (read.statsPassword === "" || secrets.includes(`${namespace}:statsPassword`)) return;
  refuseIfAny([refusal(read, "statsPassword", `a secret; ${SET_PASSWORD}`)]);
}

const SET_PASSWORD = "set it with: npx pulumi config set --secret statsPassword";

const MAX_PORT = 65535;

/** bcrypt reads no more than 72 bytes, and a header has no sure encoding for what is not ASCII. */
const PASSWORD = /^[ -~]{8,72}$/;

/** Longest number of characters of a value in a message. */
const SHOWN = 80;

/** Docker: image names are lower case, with single separators between runs of letters and digits. */
const NAME_PREFIX = /^([a-z0-9]+([._]|__|-+|$))*$/;
const MAX_NAME_PREFIX = 31;

/** Docker: an image tag may hold `.` and `-` but not begin with them. */
const IMAGE_TAG = /^\w[\w.-]*$/;

/** One problem in one line: key, value, what is allowed. */
export function refusal(config: LabConfig, key: keyof LabConfig, allowed: string): string {
  const value = key === "statsPassword" ? hide(config[key]) : config[key];
  const shown = typeof value === "string" ? JSON.stringify(value) : String(value);
  const short = shown.length > SHOWN ? `${shown.slice(0, SHOWN)}…` : shown;
  return `${key}: got ${short}, expected ${allowed}`;
}

const hide = (secret: string) => secret && `[${secret.length} characters]`;

/**
 * Ends the program if there are problems, before it declares anything.
 *
 * @throws pulumi.RunError with a line for each problem; Pulumi shows it without a stack trace
 */
export function refuseIfAny(problems: string[]): void {
  if (problems.length === 0) return;
  const lines = problems.join("\n").replaceAll("\n", "\n  ");
  const error = new pulumi.RunError(`nothing was changed, because\n  ${lines}`);
  // Pulumi formats the stack although it does not show it. Node 20's util.inspect then runs for
  // 15 s, until its memory ends, over a frame in `node_modules/@pulumi/resource.ts`.
  error.stack = undefined;
  throw error;
}

/**
 * Checks ranges and what must fit together.
 *
 * @returns the same configuration
 * @throws pulumi.RunError with a line for each value that is refused
 */
export function checkConfig(config: LabConfig): LabConfig {
  const problems: string[] = [];
  const refuse = (key: keyof LabConfig, allowed: string) =>
    problems.push(refusal(config, key, allowed));
  const checkRange = (key: keyof LabConfig, min: number, max: number, what: string) => {
    const value = config[key] as number;
    if (!Number.isInteger(value) || value < min || value > max) {
      refuse(key, `${what} from ${min} to ${max}`);
    }
  };

  const subnet = parseSubnet(config.subnet);
  if (typeof subnet === "string") refuse("subnet", subnet);
  else
    checkRange("nodeCount", 1, maxNodes(subnet), `a number of nodes that ${config.subnet} holds,`);
  if (!IMAGE_TAG.test(config.stack)) {
    refuse("stack", "a name that can be an image's tag: it begins with a letter, a digit or _");
  }
  if (config.namePrefix.length > MAX_NAME_PREFIX || !NAME_PREFIX.test(config.namePrefix)) {
    const allowed = `nothing, or up to ${MAX_NAME_PREFIX} of a-z 0-9, after them . _ __ or dashes`;
    refuse("namePrefix", allowed);
  }
  for (const key of ["publishAddress", "adminAddress"] as const) {
    if (!isIPv4(config[key])) refuse(key, "an IPv4 address of this host, or 0.0.0.0 for all");
  }
  checkStatsPassword(config, refuse);
  for (const key of ["httpPort", "statsPort", "adminPort"] as const) {
    checkRange(key, 1, MAX_PORT, "a port");
  }
  checkRange("serverTimeout", 100, 60_000, "milliseconds");
  checkRange("rollingSteps", 1, 10, "a number of steps");
  checkRange("readyTimeout", 1, 3600, "seconds");
  checkNodePorts(config, refuse);
  checkPortsDiffer(config, refuse);

  refuseIfAny(problems);
  return config;
}

/** What is allowed and yet seldom meant, a line for each value. */
export function listWarnings({ subnet, adminAddress }: LabConfig): string[] {
  const warnings: string[] = [];
  if (!isPrivate(subnet)) {
    warnings.push(
      `subnet: ${subnet} is public: this host and the lab's containers can't reach the real hosts ` +
        "that have these addresses; a private one is in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16",
    );
  }
  if (!isLoopback(adminAddress)) {
    warnings.push(
      `adminAddress: ${adminAddress} opens HAProxy's admin CLI without a password to whoever ` +
        "reaches this host and to the nodes, who come as the host; back to this host alone: " +
        "npx pulumi config rm adminAddress",
    );
  }
  return warnings;
}

/** Which addresses other hosts can't reach. */
const isLoopback = (address: string) => address.startsWith("127.");

type Refuse = (key: keyof LabConfig, allowed: string) => void;

function checkStatsPassword(config: LabConfig, refuse: Refuse): void {
  const { adminAddress, statsPassword } = config;
  const isNeeded = isIPv4(adminAddress) && !isLoopback(adminAddress);
  if (statsPassword === "" ? !isNeeded : PASSWORD.test(statsPassword)) return;
  const why = isNeeded ? `, because adminAddress ${adminAddress} is not a loopback address` : "";
  refuse("statsPassword", `8 to 72 printable ASCII characters${why}; ${SET_PASSWORD}`);
}

function checkNodePorts(config: LabConfig, refuse: Refuse): void {
  const { nodePorts } = config;
  const nodes = countPorts(config);
  const last = MAX_PORT - nodes + 1;
  if (!Number.isInteger(nodePorts) || nodePorts < 0 || nodePorts > last) {
    refuse("nodePorts", `0, or a first port from 1 to ${last} for ${nodes} nodes`);
  }
}

function checkPortsDiffer(config: LabConfig, refuse: Refuse): void {
  const keys = ["httpPort", "statsPort", "adminPort"] as const;
  const { nodePorts } = config;
  const last = nodePorts + countPorts(config) - 1;
  keys.forEach((key, i) => {
    const twin = keys.slice(0, i).find((other) => config[other] === config[key]);
    // Which of the two was set can't be told here: a default looks like a value of the user's.
    if (twin) refuse(key, `a port that ${twin} does not have: set one of the two to another port`);
    if (nodePorts > 0 && config[key] >= nodePorts && config[key] <= last) {
      refuse(key, `a port outside the nodes' own ${nodePorts}-${last}`);
    }
  });
}

/** Ports for the nodes: one at least, also for a number of nodes that is refused itself. */
function countPorts({ nodeCount }: LabConfig): number {
  return Number.isInteger(nodeCount) ? Math.min(Math.max(nodeCount, 1), MAX_NODES) : 1;
}
