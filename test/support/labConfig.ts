import type { LabConfig } from "../../config/labConfig";

/** A configuration in which every value differs from the default, to show where each one goes. */
export const LAB: LabConfig = {
  stack: "test",
  nodeCount: 2,
  subnet: "10.20.30.0/24",
  namePrefix: "x-",
  publishAddress: "127.0.0.1",
  adminAddress: "127.0.0.2",
  statsPassword: "",
  httpPort: 8080,
  statsPort: 8081,
  adminPort: 8082,
  nodePorts: 8100,
  serverTimeout: 1500,
  stickySessions: true,
  rollingSteps: 3,
  readyTimeout: 30,
};
