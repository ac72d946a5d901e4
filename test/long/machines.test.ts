/** Several machines on one: what `npm run machines` makes, and what is left after down. */
import { existsSync, readFileSync } from "node:fs";
import type Docker from "dockerode";
import { runInContainer } from "../../docker/exec";
import { BASE_IMAGE } from "../../cli/setup/baseImage";
import { connectMachine, listMachines, REGISTRY, type Machine } from "../../machines/machines";
import { REGISTRY_USER } from "../../machines/registry";
import { listSwarmStates } from "../../machines/swarm";
import { engine } from "../support/checkout";
import { expectNoMachines, PASSWORD_FILE, portOf, runMachines } from "../support/machines";
import { eventually, get } from "../support/observe";

jest.setTimeout(300_000);

/** Swarm takes a machine for down 15 s after its last sign of life. */
const DOWN_WITHIN_MS = 60_000;
/** The image goes to three machines, and is unpacked on each. */
const RUNNING_WITHIN_MS = 120_000;
const NAMES = ["machine1", "machine2", "machine3"];

/** What of this engine is somebody else's; undefined until it is known that no machines are. */
let others: string[] | undefined;
let machines: Machine[] = [];
let printed: string;

beforeAll(async () => {
  await expectNoMachines();
  others = await listObjects();
  printed = await run("3");
  machines = await listMachines();
});
afterAll(async () => {
  if (others !== undefined) await run("down");
});

/** In the same terminal as the lab's commands would be. */
const run = (...args: string[]) => runMachines(machines, ...args);

/** Everything on the engine that `down` removes of its own, as names that are the same in every run. */
async function listObjects(): Promise<string[]> {
  const containers = await engine.listContainers({ all: true });
  const networks = await engine.listNetworks();
  const { Volumes } = await engine.listVolumes();
  return [
    ...containers.flatMap(({ Names }) => Names),
    ...networks.map(({ Id, Name }) => `${Name} ${Id}`),
    ...Volumes.map(({ Name }) => Name),
  ].sort();
}

const readStates = () => listSwarmStates(machines[0]);
const everywhere = <T>(value: T) => Object.fromEntries(NAMES.map((name) => [name, value]));

test("three machines are Ready in a Swarm, and nothing secret was printed", async () => {
  expect(machines.map(({ name, state }) => `${name} ${state}`)).toEqual(
    NAMES.map((name) => `${name} running`),
  );
  expect(await readStates()).toEqual(everywhere("ready"));
  expect(printed).toContain(`export DOCKER_HOST=${machines[0].dockerHost}\n`);
  expect(printed).not.toContain(readFileSync(PASSWORD_FILE, "utf8"));
  expect(printed).not.toContain("SWMTKN");
});

test("again it changes nothing", async () => {
  const identify = () =>
    Promise.all(
      NAMES.map(async (name) => (await engine.getContainer(name).inspect()).State.StartedAt),
    );
  const before = await identify();
  expect(await run("3")).not.toContain("→");
  expect(await identify()).toEqual(before);
});

test("a machine's API is closed to the other machines", async () => {
  const script = `exec 3<>/dev/tcp/${machines[0].address}/2375`;
  const look = await runInContainer(engine.getContainer("machine2"), ["bash", "-c", script]);
  expect(look).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("refused") as string });
});

test("a global service of an image in the registry answers at port 80 of each machine", async () => {
  const manager = connectMachine(machines[0]);
  const image = await push(manager);
  await createService(manager, image);
  await eventually(RUNNING_WITHIN_MS, async () => expect(await askAll()).toEqual(everywhere(true)));
});

/** A server that answers with its machine's name. */
const SERVER = `
  $server = IO::Socket::INET->new(LocalPort => 80, Listen => 5, ReuseAddr => 1) or die;
  while ($client = $server->accept) {
    1 while ($line = <$client>) && $line ne "\\r\\n";
    print $client "HTTP/1.0 200 OK\\r\\n\\r\\n$ENV{MACHINE}";
    close $client;
  }`;

const authconfig = () => ({
  username: REGISTRY_USER,
  password: readFileSync(PASSWORD_FILE, "utf8"),
  serveraddress: REGISTRY,
});

async function push(manager: Docker): Promise<string> {
  const repo = `${REGISTRY}/test/server`;
  await manager.getImage(BASE_IMAGE).tag({ repo, tag: "1" });
  const image = `${repo}:1`;
  const progress = await manager.getImage(image).push({ authconfig: authconfig() });
  await new Promise<void>((resolve, reject) =>
    manager.modem.followProgress(progress, (error) => (error ? reject(error) : resolve())),
  );
  return image;
}

async function createService(manager: Docker, image: string): Promise<void> {
  await manager.createService(authconfig(), {
    Name: "server",
    Mode: { Global: {} },
    EndpointSpec: {
      Mode: "dnsrr",
      Ports: [{ TargetPort: 80, PublishedPort: 80, PublishMode: "host" }],
    },
    TaskTemplate: {
      ContainerSpec: {
        Image: image,
        Command: ["perl", "-MIO::Socket::INET", "-e", SERVER],
        Env: ["MACHINE={{.Node.Hostname}}"],
      },
    },
  });
}

/** Whether each machine answers for itself at its port of this host. */
async function askAll(): Promise<Record<string, boolean>> {
  const answers = machines.map(async ({ name, url }) => {
    const { body } = await get(portOf(url));
    return [name, body === name] as const;
  });
  return Object.fromEntries(await Promise.all(answers));
}

test("a killed machine is down for the Swarm, and started it is Ready and serves again", async () => {
  await run("kill", "2");
  await eventually(DOWN_WITHIN_MS, async () =>
    expect(await readStates()).toEqual({ ...everywhere("ready"), machine2: "down" }),
  );
  expect(await run()).toMatch(/^machine2 +exited +worker +down /m);
  expect(await run("start", "2")).toMatch(/^machine2 is Ready in the Swarm, /);
  expect(await readStates()).toEqual(everywhere("ready"));
  await eventually(RUNNING_WITHIN_MS, async () => expect(await askAll()).toEqual(everywhere(true)));
});

test("a machine whose container was removed is made again", async () => {
  await engine.getContainer("machine3").remove({ force: true });
  await engine.getVolume("machine3").remove();
  expect(await run()).not.toContain("machine3");
  await run("3");
  machines = await listMachines();
  expect(await readStates()).toEqual(everywhere("ready"));
  expect(await connectMachine(machines[0]).listNodes()).toHaveLength(NAMES.length);
});

test("down leaves nothing, and what is not its own alone", async () => {
  await run("down");
  machines = [];
  expect(await listObjects()).toEqual(others);
  expect(existsSync(PASSWORD_FILE)).toBe(false);
  expect(await run()).toMatch(/^There are no machines; /);
});
