/** The ports inside the containers: the program plans with them, the web application listens. */
export const APP_PORT = 3000;
export const PROXY_PORTS = { http: 80, stats: 1936, admin: 9999 };
/** The second balancer shares the first one's addresses, so all but the traffic's port is its own. */
export const SECOND_PROXY_PORTS = { http: 80, stats: 1937, admin: 9998 };
/** Serf's, for gossip and for its RPC on the loopback, of each of two balancers that share them. */
export const AGENT_PORTS = [
  { gossip: 7946, rpc: 7373 },
  { gossip: 7947, rpc: 7374 },
];
