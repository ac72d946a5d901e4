/** The ports inside the containers: the program plans with them, the web application listens. */
export const APP_PORT = 3000;
export const PROXY_PORTS = { http: 80, stats: 1936, admin: 9999 };
