/** Where the configurator's things are in the container. */
export const paths = {
  /** The file HAProxy runs on. */
  config: "/usr/local/etc/haproxy/haproxy.cfg",
  /** One YAML file per node; the configurator is its only writer. */
  nodes: "/nodes",
  /** The last declaration pushed. */
  declaration: "/var/lib/configurator/declaration.json",
  /** The last text that HAProxy was seen running on. */
  applied: "/var/lib/configurator/applied.cfg",
  /** HAProxy's master CLI. */
  master: "/run/haproxy/master.sock",
  /** Where pushes arrive. */
  control: "/run/configurator/control.sock",
} as const;
