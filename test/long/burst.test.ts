/** Many nodes at once. It takes all of a small machine, so nothing else is measured beside it. */
import { setTimeout as delay } from "node:timers/promises";
import type Docker from "dockerode";
import { archiveOf } from "../../docker/archive";
import { withoutFrames } from "../../docker/exec";
import { LabCheckout } from "../support/checkout";
import { addByHand, expectAgreement } from "../support/cluster";
import { eventually, inContainer, names } from "../support/observe";

jest.setTimeout(300_000);

let lab: LabCheckout;
beforeAll(async () => {
  lab = await LabCheckout.create("e2e-burst");
  await lab.up();
});
afterAll(() => lab.remove());

const PATIENCE_MS = 20_000;

test("20 running containers whose agents start within a second: at most 4 applies", async () => {
  const added = Array.from({ length: 20 }, (_, i) => `n${i + 1}`);
  // s6 leaves a service alone that has this file.
  const withoutAgent = (container: Docker.Container) =>
    container.putArchive(archiveOf("down", ""), { path: "/etc/s6/serf" });
  for (const name of added) await addByHand(lab, name, withoutAgent);
  await Promise.all(
    added.map((name) =>
      eventually(PATIENCE_MS, () => inContainer(lab, name, "s6-svok", "/etc/s6/serf")),
    ),
  );
  const applies = async () =>
    withoutFrames(await lab.container("ha").logs({ stdout: true, stderr: true }))
      .split("\n")
      .filter((line) => / applied by /.test(line));
  const before = await applies();
  const started = Date.now();
  await Promise.all(added.map((name) => inContainer(lab, name, "s6-svc", "-u", "/etc/s6/serf")));
  const took = Date.now() - started;
  expect(await expectAgreement(lab)).toEqual([...added, ...names(2)]);
  // What comes late to a settled cluster must not add an apply either.
  await delay(5000);
  const made = (await applies()).slice(before.length);
  console.log(`agents started in ${took} ms; applies:\n${made.join("\n")}`);
  expect(made.length).toBeLessThanOrEqual(4);
  expect(made.every((line) => line.includes("applied by Runtime API"))).toBe(true);
});
