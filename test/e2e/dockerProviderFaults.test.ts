/** What the offline provider does when things go wrong; its resources on a real engine. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { container } from "../../providers/docker/container";
import { ContainerInputs } from "../../providers/docker/containerOptions";
import { ImageInputs, image } from "../../providers/docker/image";
import { NetworkInputs, network } from "../../providers/docker/network";
import { Values } from "../../providers/docker/properties";
import { connectDocker, isNotFound } from "../../docker/connect";
import { runInContainer } from "../../docker/exec";
import { Context, PartialFailure } from "../../providers/pluginServer";

// A build waits for others on a busy engine.
jest.setTimeout(60_000);

const docker = connectDocker();
const containers = container(connectDocker);
const images = image(connectDocker);
const name = `docker-provider-${process.pid}`;
const base = "debian:trixie-slim";
const folder = mkdtempSync(join(tmpdir(), `${name}-`));

afterEach(async () => {
  await ignoreMissing(docker.getContainer(name).remove({ force: true }));
});

afterAll(async () => {
  rmSync(folder, { recursive: true });
  await ignoreMissing(docker.getImage(name).remove());
});

test("a container that can't start leaves nothing behind", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  try {
    const ports = [{ internal: 80, external: port, ip: "127.0.0.1", protocol: "tcp" }];
    await expect(create({ command: ["sleep", "60"], ports })).rejects.toThrow(
      /^Unable to start container: .*address already in use/,
    );
  } finally {
    server.close();
  }
  expect(await exists()).toBe(false);
});

test("a container that exits at once is an error with its last words, and removed", async () => {
  await expect(create({ command: ["sh", "-c", "echo no luck; exit 3"] })).rejects.toThrow(
    `container "${name}" exited with code 3:\nno luck`,
  );
  expect(await exists()).toBe(false);
});

test("a container that need not run may exit", async () => {
  const { state } = await create({ command: ["true"], mustRun: false });
  await docker.getContainer(name).wait();
  expect(state).toMatchObject({ name, mustRun: false });
  const again = await containers.read(state.id as string, state, await inputs({}), context());
  expect(again?.state).toMatchObject({ exitCode: 0 });
});

test("a container that is not healthy in time is kept, and waited for again by an update", async () => {
  const wanted = await inputs({
    command: ["sleep", "60"],
    healthcheck: { ...HEALTHCHECK, tests: ["CMD", "test", "-e", "/ready"] },
    wait: true,
    waitTimeout: 2,
  });
  const failure = await Promise.resolve(containers.create(wanted, context())).catch(
    (error: Error) => error,
  );
  expect(failure).toBeInstanceOf(PartialFailure);
  expect((failure as Error).message).toMatch(
    `container "${name}" is starting after 2 s; its last check exited with 1:`,
  );
  const { id, state } = failure as PartialFailure & { state: Values };
  expect(await containers.diff(id, state, wanted, wanted, context())).toMatchObject({
    detailed: { wait: "update" },
  });

  await runInContainer(docker.getContainer(name), ["touch", "/ready"]);
  const update = containers.update(id, state, wanted, wanted, context());
  expect(await update).toMatchObject({ id, wait: true, mustRun: true });
});

test("to wait for a container without a healthcheck is an error", async () => {
  await expect(create({ command: ["sleep", "60"], wait: true })).rejects.toThrow(
    `container "${name}" is to be waited for but has no healthcheck`,
  );
  expect(await exists()).toBe(false);
});

test("a creation that is cancelled is taken back", async () => {
  const controller = new AbortController();
  const healthcheck = { ...HEALTHCHECK, tests: ["CMD", "false"] };
  const wanted = { command: ["sleep", "60"], healthcheck, wait: true };
  const creation = create(wanted, { signal: controller.signal });
  setTimeout(() => controller.abort(new Error("cancelled")), 500);
  await expect(creation).rejects.toThrow("cancelled");
  expect(await exists()).toBe(false);
});

test("uploaded files have their content, mode and owner before the start", async () => {
  await create({
    command: ["sleep", "60"],
    uploads: [
      { file: "/etc/deep/er/key", content: "k3y", permissions: "0600" },
      { file: "/run.sh", content: "#!/bin/sh" },
    ],
  });
  const script = 'for f; do stat -c "%n %a %u:%g" $f; cat $f; echo; done';
  const { stdout } = await runInContainer(docker.getContainer(name), [
    ...["sh", "-c", script, "-", "/etc/deep/er/key", "/run.sh"],
  ]);
  expect(stdout.trim().split("\n")).toEqual([
    "/etc/deep/er/key 600 0:0",
    "k3y",
    "/run.sh 644 0:0",
    "#!/bin/sh",
  ]);
});

test("limits and restart policy change in the running container", async () => {
  const { id, state } = await create({ command: ["sleep", "60"], memory: 64, memorySwap: 64 });
  const news = await inputs({ memory: 32, memorySwap: 32, restart: "always" });
  const updated = await containers.update(id, state, news, news, context());
  const limits = { memory: 32, memorySwap: 32, restart: "always" };
  expect(updated).toMatchObject(limits);
  expect((await docker.getContainer(name).inspect()).HostConfig).toMatchObject({
    Memory: 32 * 2 ** 20,
    MemorySwap: 32 * 2 ** 20,
    RestartPolicy: { Name: "always" },
  });
});

test("without a grace period a container is killed, with one it is stopped", async () => {
  const command = ["sh", "-c", "trap 'sleep 1; exit 0' TERM; while :; do sleep 0.1; done"];
  const timed = async (seconds?: number) => {
    const { id, state } = await create({ command, destroyGraceSeconds: seconds });
    const start = Date.now();
    await containers.delete(id, state, context());
    return Date.now() - start;
  };
  expect(await timed()).toBeLessThan(900);
  const grace = await timed(5);
  expect(grace).toBeGreaterThan(1000);
  expect(grace).toBeLessThan(4000);
});

test("a failed build says which step failed and what it printed", async () => {
  writeFileSync(join(folder, "Dockerfile"), `FROM ${base}\nRUN echo broken $((6*7)) && false\n`);
  const shown: string[] = [];
  const log = (_severity: string, message: string) => void shown.push(message);
  await expect(build({ log })).rejects.toThrow(
    new RegExp(
      `^build of ${name} failed at \\[2/2\\] RUN echo broken .* && false: .*exit code: 1\nbroken 42$`,
    ),
  );
  expect(shown).toContain(`[1/2] FROM docker.io/library/${base}`);
});

test("a build that is cancelled ends", async () => {
  writeFileSync(join(folder, "Dockerfile"), `FROM ${base}\nRUN sleep 30 # ${Date.now()}\n`);
  const signal = AbortSignal.timeout(1000);
  await expect(build({ signal })).rejects.toThrow();
});

test("an ignored Dockerfile and one outside of the folder still build", async () => {
  writeFileSync(join(folder, "Dockerfile"), `FROM ${base}\nCOPY . /context\n`);
  writeFileSync(join(folder, ".dockerignore"), "Dockerfile\nsecret*\n");
  writeFileSync(join(folder, "secret.txt"), "");
  const { id, state } = await build({});
  expect({ id, digest: state.repoDigest }).toEqual({
    id: name,
    digest: (await docker.getImage(name).inspect()).Id,
  });
  await create({ image: state.repoDigest as string, command: ["sleep", "60"] });
  const listing = await runInContainer(docker.getContainer(name), ["ls", "/context"]);
  expect(listing.stdout).not.toMatch(/secret/);
});

test("what is gone already is deleted without an error", async () => {
  const networks = network(connectDocker);
  const wanted = { name, ipamDriver: "default" } as NetworkInputs;
  const { id, state } = await networks.create(wanted, context());
  await networks.delete(id, state, context());
  await networks.delete(id, state, context());
  expect(await networks.read(id, state, wanted, context())).toBeUndefined();
});

const HEALTHCHECK = {
  interval: "200ms",
  timeout: "1s",
  startPeriod: "0s",
  startInterval: "0s",
  retries: 100,
};

async function inputs(values: Partial<ContainerInputs>): Promise<ContainerInputs> {
  const checked = await containers.check(
    { name, image: base, ...values } as ContainerInputs,
    undefined,
    context(),
  );
  expect(checked.failures).toEqual([]);
  return checked.inputs;
}

async function create(values: Partial<ContainerInputs>, options: Partial<Context> = {}) {
  return containers.create(await inputs(values), context(options));
}

async function build(options: Partial<Context>) {
  const news = { imageName: name, skipPush: true, build: { context: folder } } as ImageInputs;
  const { inputs: checked, failures } = await images.check(news, undefined, context());
  expect(failures).toEqual([]);
  return images.create(checked, context(options));
}

function context(options: Partial<Context> = {}): Context {
  return {
    urn: "urn:pulumi:test::test::test::test",
    name: "test",
    preview: false,
    timeoutSeconds: 0,
    signal: new AbortController().signal,
    log: () => undefined,
    ...options,
  };
}

async function exists(): Promise<boolean> {
  return docker
    .getContainer(name)
    .inspect()
    .then(
      () => true,
      () => false,
    );
}

async function ignoreMissing(removal: Promise<unknown>): Promise<void> {
  await removal.catch((error: Error) => {
    if (!isNotFound(error)) throw error;
  });
}
