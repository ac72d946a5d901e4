import type { Lab, LabContainer } from "../../state/inventory";
import { chooseMember, chooseService, parseServices } from "../../cli/services";

const services = [
  { name: "app", isUp: true, pid: 15, seconds: 1106 },
  { name: "serf", isUp: false, pid: -1, seconds: 3 },
];

test("s6's words are read", () => {
  expect(parseServices("app true 15 1106\nserf false -1 3\n")).toEqual(services);
});

const running = { name: "s1", containerName: "x-s1", state: "running" } as LabContainer;
const paused = { name: "s2", containerName: "x-s2", state: "paused" } as LabContainer;
const elsewhere = {
  ...running,
  name: "s3",
  containerName: "x-s3",
  engine: "m2",
  isElsewhere: true,
};
const lab = { stack: "dev", containers: [running, paused, elsewhere] } as Lab;

test("what is not there is answered with what is", () => {
  expect(chooseMember("s1", lab)).toBe(running);
  expect(() => chooseMember("s7", lab)).toThrow("stack dev has no member s7; there is: s1, s2, s3");
  expect(() => chooseMember("s2", lab)).toThrow("s2 does not run: its container x-s2 is paused");
  expect(() => chooseMember("s3", lab)).toThrow(
    "s3 runs on engine m2, where its processes are reached with: " +
      "docker exec $(docker ps -q --filter name=^x-s3\\.) s6-svc -r /etc/s6/SERVICE",
  );
  expect(chooseService("serf", "s1", services)).toBe(services[1]);
  expect(() => chooseService("nginx", "s1", services)).toThrow(
    "s1 has no service nginx; there is: app, serf",
  );
});
