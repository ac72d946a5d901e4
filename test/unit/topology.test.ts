import { planTopology } from "../../config/topology";
import { LAB } from "../support/labConfig";

test("a topology follows from the configuration", () => {
  expect(planTopology(LAB)).toEqual({
    network: {
      name: "x-heig",
      subnet: "10.20.30.0/24",
      gateway: "10.20.30.1",
      ipRange: "10.20.30.224/27",
    },
    images: { base: "x-lab-base:test", ha: "x-lab-ha:test", webapp: "x-lab-webapp:test" },
    balancer: {
      name: "ha",
      containerName: "x-ha",
      role: "balancer",
      address: "10.20.30.42",
      ports: [
        { internal: 80, external: 8080, ip: "127.0.0.1" },
        { internal: 1936, external: 8081, ip: "127.0.0.2" },
        { internal: 9999, external: 8082, ip: "127.0.0.2" },
      ],
    },
    nodes: [
      {
        name: "s1",
        containerName: "x-s1",
        role: "backend",
        address: "10.20.30.11",
        ports: [{ internal: 3000, external: 8100, ip: "127.0.0.1" }],
      },
      {
        name: "s2",
        containerName: "x-s2",
        role: "backend",
        address: "10.20.30.12",
        ports: [{ internal: 3000, external: 8101, ip: "127.0.0.1" }],
      },
    ],
    appPort: 3000,
    proxy: {
      ports: { http: 80, stats: 1936, admin: 9999 },
      subnet: "10.20.30.0/24",
      gateway: "10.20.30.1",
      serverTimeoutMs: 1500,
      healthPath: "/health",
      checkIntervalMs: 500,
      checkTimeoutMs: 1000,
      hardStopSeconds: 30,
      stickySessions: true,
      statsAuth: false,
    },
    label: { label: "dynamic-scaling-lab.stack", value: "test" },
  });
});

test("nodePorts 0 publishes no node", () => {
  const { nodes } = planTopology({ ...LAB, nodePorts: 0 });
  expect(nodes.map((node) => node.ports)).toEqual([[], []]);
});
