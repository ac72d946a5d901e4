/** Where the configurator's things are in the container. */
export const paths = {
  /** The file HAProxy runs on. */
  config: "/usr/local/etc/haproxy/haproxy.cfg",
  /** The statistics' user and the hash of its password: HAProxy reads it beside the file. */
  users: "/var/lib/configurator/users.cfg",
  /** One YAML file per node; the configurator is its only writer. */
  nodes: "/nodes",
  /** The last declaration pushed. */
  declaration: "/var/lib/configurator/declaration.json",
  /** The last text that HAProxy was seen running on. */
  applied: "/var/lib/configurator/applied.cfg",
  /** The worker that was seen running on it; see haproxyProcess.ts. */
  worker: "/var/lib/configurator/worker",
  /** What is remembered of nodes that were taken out; see membership.ts. */
  memory: "/var/lib/configurator/memory.json",
  /** Counters for the next worker; haproxy.cfg names it. */
  statsFile: "/var/lib/configurator/stats-file",
  /** Addresses and checks of the servers for the next worker, where haproxy.cfg names it. */
  serverState: "/var/lib/configurator/server-state",
  /** On a Swarm: the declaration, which nobody pushes then. */
  given: "/etc/lab/declaration.json",
  /** HAProxy's master CLI. */
  master: "/run/haproxy/master.sock",
  /** Where pushes arrive. */
  control: "/run/configurator/control.sock",
  /** The token of this run of the agent's RPC. */
  serfToken: "/run/serf-token",
  /** What gossip said, for people, and what it said before that. */
  serfLog: "/var/log/serf.log",
  oldSerfLog: "/run/configurator/serf.log.1",
} as const;
