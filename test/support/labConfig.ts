import type { LabConfig } from "../../config/labConfig";

/** A configuration in which every value differs from the default, to show where each one goes. */
export const LAB: LabConfig = {
  stack: "test",
  orchestrator: "docker",
  nodeCount: 2,
  subnet: "10.20.30.0/24",
  namePrefix: "x-",
  publishAddress: "127.0.0.1",
  adminAddress: "127.0.0.2",
  statsPassword: "",
  httpPort: 8080,
  statsPort: 8081,
  adminPort: 8082,
  balancers: 1,
  secondStatsPort: 8083,
  secondAdminPort: 8084,
  nodePorts: 8100,
  serverTimeout: 1500,
  stickySessions: true,
  rollingSteps: 3,
  readyTimeout: 30,
  registry: "",
  registryUser: "",
  registryPassword: "",
  placement: "",
  publishMode: "host",
};

/** The same on a Swarm. */
export const SWARM_LAB: LabConfig = {
  ...LAB,
  orchestrator: "swarm",
  statsPassword: "not for others",
  nodePorts: 0,
  registry: "registry.test:5000",
  registryUser: "someone",
  registryPassword: "no one knows",
  placement: "node.labels.disk == ssd",
  publishMode: "host",
};
