import { planTopology } from "../../config/topology";
import { LAB, SWARM_LAB } from "../support/labConfig";

const proxy = {
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
  byName: false,
};

test("a topology follows from the configuration", () => {
  expect(planTopology(LAB)).toEqual({
    network: {
      name: "x-heig",
      subnet: "10.20.30.0/24",
      gateway: "10.20.30.1",
      ipRange: "10.20.30.224/27",
      driver: "bridge",
    },
    handMadeRange: "10.20.30.224/27",
    images: {
      base: "x-lab-base:test",
      ha: "x-lab-ha:test",
      webapp: "x-lab-webapp:test",
      front: "x-lab-front:test",
    },
    front: {
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
    balancers: [{ name: "ha", containerName: "x-ha", proxy }],
    possibleBalancers: ["x-ha", "x-ha1", "x-ha2"],
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
    label: { label: "dynamic-scaling-lab.stack", value: "test" },
  });
});

test("two balancers share the address of a front, each with ports of its own beside the traffic's", () => {
  const one = planTopology(LAB);
  const { front, balancers, ...others } = planTopology({ ...LAB, balancers: 2 });
  expect(front).toEqual({
    ...one.front,
    role: "front",
    ports: [
      ...one.front.ports,
      { internal: 1937, external: 8083, ip: "127.0.0.2" },
      { internal: 9998, external: 8084, ip: "127.0.0.2" },
    ],
  });
  expect(balancers).toEqual([
    {
      name: "ha1",
      containerName: "x-ha1",
      proxy,
      shared: { ports: { gossip: 7946, rpc: 7373 }, peer: { name: "ha2", gossipPort: 7947 } },
    },
    {
      name: "ha2",
      containerName: "x-ha2",
      proxy: { ...proxy, ports: { http: 80, stats: 1937, admin: 9998 } },
      shared: { ports: { gossip: 7947, rpc: 7374 }, peer: { name: "ha1", gossipPort: 7946 } },
    },
  ]);
  expect({ ...one, ...others }).toEqual(one);
});

test("nodePorts 0 publishes no node", () => {
  const { nodes } = planTopology({ ...LAB, nodePorts: 0 });
  expect(nodes.map((node) => node.ports)).toEqual([[], []]);
});

test.each([
  [99, 500],
  [100, 2000],
])("each of %i nodes is checked every %i ms", (nodeCount, checkIntervalMs) => {
  const { balancers } = planTopology({ ...LAB, nodeCount });
  expect(balancers.map((it) => it.proxy.checkIntervalMs)).toEqual([checkIntervalMs]);
});

test("on a Swarm names take the place of addresses, and the admin CLI is not published", () => {
  const [onEngine, onSwarm] = [planTopology(LAB), planTopology(SWARM_LAB)];
  const place = "registry.test:5000/x-lab-";
  expect(onSwarm).toEqual({
    ...onEngine,
    network: {
      name: "x-heig",
      driver: "overlay",
      subnet: "10.20.30.0/24",
      gateway: "10.20.30.1",
      ipRange: undefined,
    },
    handMadeRange: "10.20.30.0/24",
    swarm: {
      registry: { server: "registry.test:5000", username: "someone", password: "no one knows" },
      constraints: ["node.labels.disk==ssd"],
      publishMode: "host",
    },
    images: {
      base: `${place}base:test`,
      ha: `${place}ha:test`,
      webapp: `${place}webapp:test`,
      front: `${place}front:test`,
    },
    front: {
      ...onEngine.front,
      address: "ha",
      ports: [
        { internal: 80, external: 8080, ip: "0.0.0.0" },
        { internal: 1936, external: 8081, ip: "0.0.0.0" },
      ],
    },
    balancers: [
      { name: "ha", containerName: "x-ha", proxy: { ...proxy, statsAuth: true, byName: true } },
    ],
    nodes: onEngine.nodes.map((node) => ({ ...node, address: node.name, ports: [] })),
  });
});
