import Handlebars from "handlebars";

/** One server of the backend `nodes`. */
export interface ProxyNode {
  /** Server name in HAProxy, `s1`; see {@link NODE_NAME}. */
  name: string;
  /** IPv4 address in the lab's network; in a program for a Swarm the host name. */
  address: string;
  /** TCP port of the web application, 1 to 65535. */
  port: number;
}

/** What haproxy.cfg needs to know beside the nodes. All values arrive computed. */
export interface ProxySettings {
  /** Ports inside the balancer's container. */
  ports: { http: number; stats: number; admin: number };
  /** The lab's network in CIDR form; it may not reach the admin CLI. */
  subnet: string;
  /** The network's gateway, which is how the host appears to the balancer. */
  gateway: string;
  /** Longest wait for a server's answer, ms; a GET is then tried on another server. */
  serverTimeoutMs: number;
  /** What a health check asks a server for. */
  healthPath: string;
  /** Time between two health checks of a server that is up, ms. */
  checkIntervalMs: number;
  /** Longest wait for a health check's answer, ms. */
  checkTimeoutMs: number;
  /** Longest life of an old worker after a reload, s. */
  hardStopSeconds: number;
  /** Whether a cookie keeps a client on its node. */
  stickySessions: boolean;
  /** Whether the statistics ask for the user and password of {@link renderUsers}. */
  statsAuth: boolean;
  /**
   * Whether servers stand there by their host names. Their addresses are then no part of the file:
   * the configurator sets them by the Runtime API, and the state file keeps them over a reload.
   */
  byName: boolean;
}

/**
 * Names that are safe as a HAProxy server, a file in /nodes and a host name alike (RFC 1123 label).
 */
export const NODE_NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

const naturally = new Intl.Collator("en", { numeric: true });

/** The nodes ordered as a person counts them: s2 before s10. */
export function sortNodes<T extends { name: string }>(nodes: readonly T[]): T[] {
  // s1 and s01 count the same; the order must not depend on how they came.
  return [...nodes].sort((a, b) => naturally.compare(a.name, b.name) || (a.name < b.name ? -1 : 1));
}

/**
 * Renders haproxy.cfg. The Pulumi program (for the preview) and the configurator inside `ha` (for
 * the file) both call this with the same template, so the preview is the file.
 *
 * @param template text of haproxy.cfg.hbs
 * @param settings what the template reads as `settings`
 * @param nodes what the template loops over as `nodes`, in any order
 * @throws Error when the template does not compile or reads a value that does not exist
 */
export function renderHaproxyConfig(
  template: string,
  settings: ProxySettings,
  nodes: readonly ProxyNode[],
): string {
  const placed = settings.byName ? nodes.map((node) => ({ ...node, address: node.name })) : nodes;
  return compile(template)({ settings, nodes: sortNodes(placed) });
}

let compiled: { template: string; render: Handlebars.TemplateDelegate } | undefined;

/** The last template stays compiled: the configurator renders it at each look. */
function compile(template: string): Handlebars.TemplateDelegate {
  if (compiled?.template !== template) {
    // HAProxy's syntax is not HTML, hence noEscape; strict turns a misspelt value into an error.
    const render = Handlebars.compile(template, { noEscape: true, strict: true });
    compiled = { template, render };
  }
  return compiled.render;
}

/** Who the statistics let in, where they ask. */
export const STATS_USER = "admin";

/** A bcrypt hash; nothing else may become configuration in its place. */
const BCRYPT_HASH = /^\$2b\$\d\d\$[./A-Za-z0-9]{53}$/;

/**
 * Renders users.cfg, which HAProxy reads beside haproxy.cfg, so that no preview, diff or log that
 * shows haproxy.cfg has a hash.
 *
 * @param hash bcrypt hash of the statistics' password; undefined when they ask for none
 * @throws Error when it is no such hash; the message does not have it
 */
export function renderUsers(hash: string | undefined): string {
  if (hash === undefined) return "userlist statistics\n";
  if (!BCRYPT_HASH.test(hash)) throw new Error("statsPasswordHash: expected a bcrypt hash ($2b$)");
  return `userlist statistics\n  user ${STATS_USER} password ${hash}\n`;
}
