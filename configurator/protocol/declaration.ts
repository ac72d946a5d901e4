import { createHash } from "node:crypto";
import { isIPv4 } from "node:net";
import { NODE_NAME, type ProxyNode, type ProxySettings } from "../../haproxy/render";

/** All that the balancer is told from outside: pushed as one piece, so it is never half there. */
export interface Declaration {
  /** Text of haproxy.cfg.hbs. */
  template: string;
  settings: ProxySettings;
  nodes: ProxyNode[];
  /** What nodes added by hand may be: an address range in CIDR form, and their application's port. */
  handMade: { range: string; port: number };
}

/** Names a declaration by its content: the same declaration has the same revision. */
export function revisionOf(declaration: Declaration): string {
  return createHash("sha256").update(JSON.stringify(declaration)).digest("hex").slice(0, 12);
}

/**
 * Checks one node as it comes from outside (a push, a file in /nodes).
 *
 * @returns the node with just the fields of a {@link ProxyNode}
 * @throws Error naming the field and what is allowed: a name or address that is not what it claims
 *   to be would otherwise become configuration
 */
export function parseNode(value: unknown): ProxyNode {
  const { name, address, port } = (value ?? {}) as Record<string, unknown>;
  if (typeof name !== "string" || !NODE_NAME.test(name)) {
    throw new Error(`node name ${JSON.stringify(name)} is not a host name label (a-z, 0-9, -)`);
  }
  if (typeof address !== "string" || !isIPv4(address)) {
    throw new Error(`node ${name}: address ${JSON.stringify(address)} is not an IPv4 address`);
  }
  if (typeof port !== "number" || !Number.isInteger(port) || port < 1 || port > 65535) {
    throw new Error(`node ${name}: port ${JSON.stringify(port)} is not a number from 1 to 65535`);
  }
  return { name, address, port };
}
