import type { Member } from "../../configurator/protocol/control";
import { Announcements } from "../../configurator/announcements";

const said = { name: "s1", address: "10.0.0.11", role: "backend", origin: "pulumi", boot: "b2" };
const heard = { ...said, status: "alive" } as Member;
const known = (boot: string, status: Member["status"]): Member[] => [{ ...said, boot, status }];

let announcements: Announcements;
beforeEach(() => {
  announcements = new Announcements();
  announcements.add(said);
});
afterEach(() => jest.useRealTimers());

test.each([
  ["nothing of it", []],
  ["the run before, that left", known("b1", "left")],
  ["the run before, not missed yet", known("b1", "alive")],
])("it counts while gossip knows %s", (_what, members) => {
  expect(announcements.beside(members)).toEqual([heard]);
  expect(announcements.beside(members)).toEqual([heard]);
});

test.each([
  ["the announced run", "b2"],
  ["a later run, whose own announcement was lost", "b3"],
])("it is dropped once gossip knows %s", (_what, boot) => {
  expect(announcements.beside(known("b1", "left"))).toEqual([heard]);
  expect(announcements.beside(known(boot, "alive"))).toEqual([]);
  expect(announcements.beside(known("b1", "left"))).toEqual([]);
});

test("the leave of its run ends it, that of an older run does not", () => {
  announcements.forget({ name: "s1", boot: "b1" });
  expect(announcements.beside([])).toEqual([heard]);
  announcements.forget({ name: "s1", boot: "b2" });
  expect(announcements.beside([])).toEqual([]);
});

test("it ends by itself, and one without a boot is none", () => {
  jest.useFakeTimers();
  announcements.add(said);
  announcements.add({ ...said, name: "s2", boot: "" });
  expect(announcements.beside([])).toEqual([heard]);
  jest.advanceTimersByTime(30_001);
  expect(announcements.beside([])).toEqual([]);
});
