/**
 * The recorded steps of the official Docker plugin on a Swarm, under the offline provider: each must
 * bring the same operations, diffs and summary. The Swarm is one nested engine, with a registry.
 */
import type Docker from "dockerode";
import type { ServiceInfo } from "../../providers/docker/serviceOptions";
import { NestedEngine, REGISTRY } from "../support/nestedEngine";
import {
  Replay,
  type Resource,
  type Step,
  comparable,
  dockerResources,
  summarize,
} from "../support/replay";

let nested: NestedEngine;
let docker: Docker;
let replay: Replay;

/** Where the recorded program pushed to. */
const RECORDED_REGISTRY = "172.31.77.20:5000";

const THREE = { N: "3", X: "b", LINE: "two" };
const ONE = { N: "1", X: "b", LINE: "two", TEMPLATE: "b", KEY: "b" };

const steps: [file: string, step: Step][] = [
  ["01-up-2", {}],
  ["02-preview-no-change", {}],
  ["03-preview-2-to-3", { env: { N: "3" } }],
  ["04-up-3", { env: { N: "3" } }],
  ["05-refresh-no-drift", {}],
  ["06-preview-after-refresh", { env: { N: "3" } }],
  ["07-preview-env-changed", { env: { N: "3", X: "b" } }],
  ["08-up-env-changed", { env: { N: "3", X: "b" } }],
  ["09-preview-image-changed", { env: THREE }],
  ["10-up-image-changed", { env: THREE }],
  ["11-preview-no-change", { env: THREE }],
  ["12-preview-config-changed", { env: { ...THREE, TEMPLATE: "b" } }],
  ["13-up-config-changed", { env: { ...THREE, TEMPLATE: "b" } }],
  ["14-preview-secret-changed", { env: { ...ONE, N: "3" } }],
  ["15-up-secret-changed", { env: { ...ONE, N: "3" } }],
  ["16-preview-3-to-1", { env: ONE }],
  ["17-up-1", { env: ONE }],
  ["18-refresh-service-removed", { before: () => docker.getService("rec-s1").remove() }],
  ["19-preview-after-removed", { env: ONE }],
  ["20-up-after-removed", { env: ONE }],
  ["21-refresh-scaled-by-hand", { before: () => scale("rec-s1", 3) }],
  ["22-preview-after-scaled", { env: ONE }],
  ["23-up-after-scaled", { env: ONE }],
  ["24-up-image-that-does-not-run", { env: { ...ONE, BAD: "1" } }],
  ["25-preview-after-it", { env: { ...ONE, BAD: "1" } }],
  ["26-up-good-again", { env: ONE }],
];

beforeAll(async () => {
  nested = await NestedEngine.start("docker-provider", ["debian:trixie-slim"]);
  await nested.startRegistry();
  docker = nested.engine;
  await docker.swarmInit({ ListenAddr: "127.0.0.1:2377", AdvertiseAddr: "127.0.0.1" });
  const env = { DOCKER_HOST: nested.dockerHost, REGISTRY };
  replay = await Replay.start("swarm", "swarm", env);
}, 600_000);

afterAll(async () => {
  replay?.end();
  await nested?.remove();
}, 120_000);

test.each(steps)(
  "%s",
  async (file, step) => {
    const { record, output } = await replay.run(file, step);
    expect(summarize(asRecorded(output))).toEqual(summarize(asSaid(record)));
  },
  60_000,
);

test("27: a service that is gone is no error, unlike for the official plugin", async () => {
  await docker.getService("rec-ha").remove();
  const { output } = await replay.run("27-destroy-with-a-service-gone", {});
  expect(summarize(output)).toMatchObject({
    summary: ["- 7 deleted"],
    "docker:index:Service ha": ["-  deleting", "-  deleted"],
  });
}, 60_000);

test("the state and the services are those of the official plugin", async () => {
  await replay.up();
  const state = JSON.stringify((await replay.exportStack()).deployment);
  const found = JSON.parse(asRecorded(state)) as { resources: Resource[] };
  const expected = replay.readJson("state-resources.json") as Resource[];
  expect(comparable(dockerResources(found))).toEqual(comparable(expected));

  for (const { Spec } of replay.readJson("inspect-services.json") as ServiceInfo[]) {
    const service = (await docker.getService(Spec.Name!).inspect()) as ServiceInfo;
    const seen = JSON.parse(asRecorded(JSON.stringify(service.Spec))) as ServiceInfo["Spec"];
    // Docker's CLI showed this default too.
    delete Spec.RollbackConfig;
    expect(comparable(inOrder(seen))).toEqual(comparable(inOrder(Spec)));
  }
  const [{ Spec }] = replay.readJson("inspect-secret.json") as [{ Spec: object }];
  const [secret] = await docker.listSecrets();
  expect(secret.Spec).toEqual(Spec);
}, 120_000);

test("the network is that of the official plugin", async () => {
  const [recorded] = replay.readJson("inspect-network.json") as [Docker.NetworkInspectInfo];
  const found = await docker.getNetwork("rec-heig").inspect();
  const { Name, Scope, Driver, EnableIPv6, IPAM, Internal, Attachable, Labels } = recorded;
  expect(found).toMatchObject({
    ...{ Name, Scope, Driver, EnableIPv6, IPAM, Internal, Attachable, Labels },
  });
});

function asRecorded(text: string): string {
  return text.replaceAll(REGISTRY, RECORDED_REGISTRY);
}

/** What the CLI said: the recording left out the lines of the first build, and notes how each step ended. */
function asSaid(record: string): string {
  const created = " +  docker:index:Image child created";
  return record
    .replace(created, ` +  docker:index:Image child creating (0s) \n${created}`)
    .replace(/^exit 0\n/m, "");
}

/** The official plugin sends these in any order. */
function inOrder(spec: ServiceInfo["Spec"]): ServiceInfo["Spec"] {
  spec.TaskTemplate.ContainerSpec!.Env!.sort();
  spec.TaskTemplate.Networks![0].Aliases!.sort();
  return spec;
}

async function scale(name: string, replicas: number): Promise<void> {
  const service = docker.getService(name);
  const { Version, Spec } = (await service.inspect()) as ServiceInfo;
  const Mode = { Replicated: { Replicas: replicas } };
  await service.update({ _query: { version: Version.Index }, _body: { ...Spec, Mode } });
}
