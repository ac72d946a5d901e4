import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { ServerStatus } from "../../configurator/protocol/control";
import { HealthRecord } from "../../configurator/health";

const server = (name: string, status: string, check: string): ServerStatus => ({
  ...{ name, address: "127.0.0.1", port: 1, checking: false },
  ...{ status, check },
});
const declare = (...nodes: [name: string, port: number][]) =>
  nodes.map(([name, port]) => ({ name, address: "127.0.0.1", port }));

test.each([
  ["UP", "L7OK", "serving"],
  ["UP", "INI", "unknown"],
  ["UP 1/2", "L4TOUT", "unknown"],
  ["DOWN", "L4CON", "down"],
  ["DOWN 1/2", "L7OK", "down"],
])("HAProxy's %s with check %s is %s", (status, check, health) => {
  const judged = new HealthRecord().judge(
    declare(["s1", 1]),
    [server("s1", status, check)],
    false,
    "/health",
  );
  expect(judged).toEqual(new Map([["s1", health]]));
});

describe("a node that is said to leave", () => {
  const record = new HealthRecord();
  const judge = (status: string) =>
    record.judge([], [server("s1", status, "L7OK")], false, "/health");
  const now = jest.spyOn(performance, "now");
  afterAll(() => now.mockRestore());

  test.each<[ms: number, what: string, act: () => unknown, stays: boolean]>([
    [0, "served before", () => judge("UP"), false],
    [60_000, "served before for long", () => judge("UP"), true],
    [60_000, "is said to leave", () => record.leaves("s1"), false],
    [60_001, "serves on", () => judge("UP"), false],
    [75_001, "serves on for as long as a stop takes", () => judge("UP"), false],
    [75_002, "serves on for longer", () => judge("UP"), true],
    [75_003, "is down", () => judge("DOWN"), false],
    [75_004, "serves again", () => judge("UP"), false],
    [95_000, "serves again for long", () => judge("UP"), true],
    [95_001, "is no longer looked at", () => record.judge([], [], false, "/health"), false],
  ])("%i ms: %s", (ms, _what, act, stays) => {
    now.mockReturnValue(ms);
    act();
    expect(record.stays("s1")).toBe(stays);
  });
});

describe("a declared node that HAProxy does not have", () => {
  let app: Server;
  let port: number;
  let asked: Promise<unknown>;
  beforeEach(async () => {
    asked = new Promise((resolve) => {
      app = createServer((request, response) => {
        response.statusCode = request.url === "/health" ? 200 : 404;
        response.end(resolve);
      });
    });
    await new Promise<void>((resolve) => app.listen(0, "127.0.0.1", resolve));
    port = (app.address() as AddressInfo).port;
  });
  afterEach(() => app.close());

  const eventually = async (health: string, judge: () => Map<string, unknown>) => {
    while (judge().get("s1") !== health) await new Promise((resolve) => setTimeout(resolve, 5));
  };

  test("is asked without anybody waiting, and known at the next look", async () => {
    const record = new HealthRecord();
    const judge = () => record.judge(declare(["s1", port]), [], false, "/health");
    expect(judge()).toEqual(new Map([["s1", "unknown"]]));
    await asked;
    await eventually("serving", judge);
    app.close();
    app.closeAllConnections();
    await eventually("down", judge);
  });

  test("is lost after 5 s of being down, unless it is expected", async () => {
    app.close();
    const record = new HealthRecord();
    const judge = (isExpected = false) =>
      record.judge(declare(["s1", port]), [], isExpected, "/health");
    await eventually("down", judge);
    const start = performance.now();
    const now = jest.spyOn(performance, "now");
    expect(record.isLost("s1")).toBe(false);
    now.mockReturnValue(start + 6000);
    expect(record.isLost("s1")).toBe(true);
    judge(true);
    expect(record.isLost("s1")).toBe(false);
    now.mockRestore();
  });
});
