import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { LabCheckout, engine } from "../support/checkout";

jest.setTimeout(240_000);

let first: LabCheckout;
let second: LabCheckout;
beforeAll(async () => {
  first = await LabCheckout.create("e2e-twins");
  second = await first.clone();
  await first.up();
});
afterAll(async () => {
  await second.remove();
  await first.remove();
});

/** Ids of all that a lab has on the engine: its containers, its network, what its tags name. */
async function idsOf({ config: { namePrefix } }: LabCheckout) {
  const isOwn = (name: string) =>
    /^(ha|s\d+|heig|lab-\w+:.*)$/.test(name.replace(`${namePrefix}`, ""));
  const [containers, networks, images] = await Promise.all([
    engine.listContainers({ all: true }),
    engine.listNetworks(),
    engine.listImages(),
  ]);
  const named = [
    ...containers.map(({ Id, Names }) => [Names[0].slice(1), Id]),
    ...networks.map(({ Id, Name }) => [Name, Id]),
    ...images.flatMap(({ Id, RepoTags }) => (RepoTags ?? []).map((tag) => [tag, Id])),
  ];
  return Object.fromEntries(
    named.filter(([name]) => name.startsWith(`${namePrefix}`) && isOwn(name)).sort(),
  ) as Record<string, string>;
}

/** A command of the copy's, as `npm run` starts it. */
async function run(lab: LabCheckout, command: string): Promise<string> {
  const args = ["--require", "tsx/cjs", `cli/${command}.ts`, "--stack", lab.stack];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: lab.folder });
  return stdout;
}

test("two clones with one stack name: each leaves what is the other's", async () => {
  const before = await idsOf(first);
  expect(Object.keys(before)).toHaveLength(7);

  const refused = await second.pulumi("up", "--yes", "--skip-preview", "--stack", second.stack);
  expect(refused.code).not.toBe(0);
  const theirs = `another checkout's stack ${first.stack}`;
  const { namePrefix, subnet, httpPort } = first.config;
  expect(refused.output).toContain(`network ${namePrefix}heig of ${theirs} has ${subnet}`);
  expect(refused.output).toContain(`container ${namePrefix}ha of ${theirs}`);
  expect(refused.output).toContain(`publishes 127.0.0.1:${httpPort}`);
  await run(second, "repair");
  await run(second, "clean");
  expect(await idsOf(first)).toEqual(before);

  await second.moveAside();
  await second.up();
  await second.scale(3);
  expect(await run(second, "status")).toContain("All agree.");
  expect(await run(first, "status")).toContain("All agree.");
  expect(await idsOf(first)).toEqual(before);

  const aside = await idsOf(second);
  const tag = `${second.config.namePrefix}lab-base:${second.stack}`;
  await engine.getImage(tag).remove();
  await second.up();
  expect(await idsOf(second)).toEqual(aside);
  await second.succeed("preview", "--expect-no-changes", "--stack", second.stack);

  await run(first, "clean");
  expect([await idsOf(first), await idsOf(second)]).toEqual([{}, aside]);

  await first.up();
  const again = await idsOf(first);
  await run(second, "clean");
  expect([await idsOf(first), await idsOf(second)]).toEqual([again, {}]);
});
