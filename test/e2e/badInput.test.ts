import { execFile } from "node:child_process";
import { createServer as createHttpServer } from "node:http";
import { createServer, type Server } from "node:net";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { STACK_LABEL } from "../../config/topology";
import { LabCheckout, engine, type Outcome } from "../support/checkout";
import { configOnDisk, countAnswers, identity, portOf, previewed } from "../support/observe";

jest.setTimeout(120_000);

const MEMBERS = ["ha", "s1", "s2"];

let lab: LabCheckout;
/** What no bad input may change. */
let before: Awaited<ReturnType<typeof observe>>;
beforeAll(async () => {
  lab = await LabCheckout.create("e2e-input");
  await lab.up();
  before = await observe();
});
afterAll(() => lab.remove());

async function observe() {
  const all = await engine.listContainers({
    all: true,
    filters: { label: [`${STACK_LABEL}=${lab.stack}`] },
  });
  return {
    names: all.flatMap(({ Names }) => Names).sort(),
    containers: await Promise.all(MEMBERS.map((name) => identity(lab, name))),
    config: await configOnDisk(lab),
    state: await readState(),
  };
}

/** The state without what each run writes anew: its time, and the secrets' salts. */
async function readState(): Promise<unknown> {
  const args = ["stack", "export", "--show-secrets", "--stack", lab.stack];
  const { deployment } = JSON.parse(await lab.succeed(...args)) as {
    deployment: { manifest?: unknown };
  };
  return { ...deployment, manifest: undefined };
}

const commands = {
  preview: ["preview"],
  up: ["up", "--yes", "--skip-preview"],
};

/** The problems that a run reports instead of doing anything, as the lines that the user reads. */
async function refusedBy(command: keyof typeof commands, dockerHost?: string): Promise<string[]> {
  const args = [...commands[command], "--stack", lab.stack];
  const run = dockerHost === undefined ? lab.pulumi(...args) : pulumiOn(dockerHost, ...args);
  const { code, output } = await run;
  expect(code).not.toBe(0);
  expect(output).not.toMatch(/^ +at |Error:|unhandled/m);
  expect(output).toMatch(/Resources:\n {4}1 unchanged\n {4}1 errored\n/);
  const [, problems] = output.split("    error: nothing was changed, because\n");
  return problems
    .split("\n\n")[0]
    .split("\n")
    .map((line) => line.replace(/^ {6}/, ""));
}

/** Runs the copy's launcher against another engine. A child gets jest's environment only by hand. */
function pulumiOn(dockerHost: string, ...args: string[]): Promise<Outcome> {
  const env = { ...process.env, DOCKER_HOST: dockerHost };
  const script = 'exec cli/pulumi/pulumi "$@" --non-interactive 2>&1';
  return new Promise((resolve) =>
    execFile("sh", ["-c", script, "pulumi", ...args], { cwd: lab.folder, env }, (error, stdout) =>
      resolve({ code: error ? Number(error.code) : 0, output: stdout }),
    ),
  );
}

async function expectUntouched(): Promise<void> {
  expect(await observe()).toEqual(before);
  expect(await countAnswers(lab, 4)).toEqual({ s1: 2, s2: 2 });
}

/** Runs with other config values, written as the CLI would, and puts the file back. */
async function withConfig<T>(change: Config, run: () => Promise<T>): Promise<T> {
  const file = join(lab.folder, `Pulumi.${lab.stack}.yaml`);
  const own = readFileSync(file, "utf8");
  const stack = parse(own) as { config: Config };
  for (const [key, value] of Object.entries(change)) {
    stack.config[`dynamic-scaling-lab:${key}`] = String(value);
  }
  try {
    writeFileSync(file, stringify(stack));
    return await run();
  } finally {
    writeFileSync(file, own);
  }
}

type Config = Record<string, string | number>;

test("a preview of the lab as it is finds nothing in its way", async () => {
  await lab.succeed("preview", "--expect-no-changes", "--stack", lab.stack);
});

test("values that are not allowed, all at once", async () => {
  const change = {
    nodeCount: 0,
    namePrefix: "a..b",
    publishAddress: "localhost",
    httpPort: 65536,
    statsPort: portOf(lab, "adminPort"),
    nodePorts: 65535,
    serverTimeout: 99,
  };
  const problems = [
    `nodeCount: got 0, expected a number of nodes that ${lab.config.subnet} holds, from 1 to 212`,
    'namePrefix: got "a..b", expected nothing, or up to 31 of a-z 0-9, after them . _ __ or dashes',
    'publishAddress: got "localhost", expected an IPv4 address of this host, or 0.0.0.0 for all',
    "httpPort: got 65536, expected a port from 1 to 65535",
    "serverTimeout: got 99, expected milliseconds from 100 to 60000",
    `adminPort: got ${lab.config.adminPort}, expected a port that statsPort does not have: set one of the two to another port`,
  ];
  await withConfig(change, async () => {
    expect(await refusedBy("preview")).toEqual(problems);
    expect(await refusedBy("up")).toEqual(problems);
  });
  await expectUntouched();
});

test("a subnet that is none", async () => {
  const problem =
    'subnet: got "10.0.0.0/27", expected ' +
    "an IPv4 network such as 192.168.42.0/24, from a /20 to a /26";
  await withConfig({ subnet: "10.0.0.0/27" }, async () => {
    expect(await refusedBy("preview")).toEqual([problem]);
  });
  await expectUntouched();
});

test("a value of a wrong type, in Pulumi's own words", async () => {
  await withConfig({ nodeCount: "abc" }, async () => {
    const { code, output } = await lab.pulumi("preview", "--stack", lab.stack);
    expect(code).not.toBe(0);
    expect(output).toBe(
      "error: validating stack config: Stack 'e2e-input' with configuration key 'nodeCount' " +
        "must be of type 'integer'\n",
    );
  });
  await expectUntouched();
});

test("an address that this host does not have", async () => {
  await withConfig({ publishAddress: "192.0.2.1" }, async () => {
    expect(await refusedBy("preview")).toEqual([
      'publishAddress: got "192.0.2.1", expected an IPv4 address of this host, or 0.0.0.0 for all',
    ]);
  });
  await expectUntouched();
});

/** A container that is not the lab's, on a network that is not the lab's; both end with the run. */
async function withForeign<T>(
  { name, subnet, publish }: { name: string; subnet: string; publish?: number },
  run: () => Promise<T>,
): Promise<T> {
  const network = await engine.createNetwork({
    Name: `foreign-${lab.stack}`,
    IPAM: { Config: [{ Subnet: subnet }] },
  });
  try {
    const container = await engine.createContainer({
      name,
      Image: `${lab.config.namePrefix}lab-base:${lab.stack}`,
      // The image's own labels name the stack.
      Labels: { [STACK_LABEL]: "" },
      Cmd: ["sleep", "1000"],
      ExposedPorts: { "80/tcp": {} },
      HostConfig: {
        NetworkMode: network.id,
        PortBindings: publish ? { "80/tcp": [{ HostPort: String(publish) }] } : {},
      },
    });
    try {
      await container.start();
      return await run();
    } finally {
      await container.remove({ force: true });
    }
  } finally {
    await network.remove();
  }
}

test("names, a subnet and a port that another container and network hold", async () => {
  const subnet = String(lab.config.subnet).replace(/^10\.213\./, "10.212.");
  const httpPort = portOf(lab, "nodePorts") + 10;
  const foreign = { name: "held-by-another-s2", subnet, publish: httpPort };
  const change = { namePrefix: "held-by-another-", subnet, httpPort };
  const problems = [
    `subnet: got "${subnet}", expected a subnet that no other Docker network overlaps ` +
      `(network foreign-e2e-input has ${subnet})`,
    'namePrefix: got "held-by-another-", expected a prefix whose names are free, or remove what ' +
      "holds them (container held-by-another-s2)",
    `httpPort: got ${httpPort}, expected a free port ` +
      `(container held-by-another-s2 publishes 127.0.0.1:${httpPort})`,
  ];
  await withForeign(foreign, () =>
    withConfig(change, async () => {
      expect(await refusedBy("preview")).toEqual(problems);
      expect(await refusedBy("up")).toEqual(problems);
    }),
  );
  await expectUntouched();
});

const listen = (server: Server, where: number | string) =>
  new Promise<void>((resolve, reject) => {
    server.on("error", reject);
    if (typeof where === "string") server.listen(where, resolve);
    else server.listen(where, "127.0.0.1", resolve);
  });

test("a port that another program listens on; a port of the lab's own is none", async () => {
  const statsPort = portOf(lab, "nodePorts") + 11;
  const server = createServer();
  await listen(server, statsPort);
  try {
    await withConfig({ statsPort, nodePorts: portOf(lab, "nodePorts") + 1 }, async () => {
      expect(await refusedBy("preview")).toEqual([
        `statsPort: got ${statsPort}, expected a free port ` +
          `(another program on this host has 127.0.0.1:${statsPort})`,
      ]);
    });
  } finally {
    server.close();
  }
  await expectUntouched();
});

test.each([
  ["unix:///nonexistent/docker.sock", "connect ENOENT /nonexistent/docker.sock"],
  ["tcp://127.0.0.1:1", "connect ECONNREFUSED 127.0.0.1:1"],
])("no engine at %s", async (address, reason) => {
  const problems = [`the Docker engine at ${address} (DOCKER_HOST): ${reason}`];
  expect(await refusedBy("preview", address)).toEqual(problems);
  expect(await refusedBy("up", address)).toEqual(problems);
  await expectUntouched();
});

test("an engine that is too old", async () => {
  const answers: Record<string, unknown> = {
    "/version": { Version: "19.03.15", ApiVersion: "1.40" },
    "/info": { Name: "old" },
    "/networks": [],
    "/containers/json": [],
  };
  const server = createHttpServer(({ url = "" }, response) => {
    const answer = answers[url.split("?")[0]];
    response.writeHead(answer ? 200 : 404, { "content-type": "application/json" });
    response.end(JSON.stringify(answer ?? { message: "page not found" }));
  });
  const socket = join(lab.folder, "old.sock");
  await listen(server, socket);
  try {
    expect(await refusedBy("preview", `unix://${socket}`)).toEqual([
      `the Docker engine at unix://${socket} (DOCKER_HOST) is version 19.03.15 with API 1.40; ` +
        "allowed is 20.10 with API 1.41 or newer",
    ]);
  } finally {
    server.closeAllConnections();
    server.close();
    rmSync(socket, { force: true });
  }
  await expectUntouched();
});

test.each<[string, string, string, string[]]>([
  [
    "does not compile",
    "{{/each}}",
    "{{/if}}",
    ["haproxy/haproxy.cfg.hbs: each doesn't match if - LINE:3"],
  ],
  [
    "reads what does not exist",
    "{{settings.ports.http}}",
    "{{settings.ports.htpp}}",
    ['haproxy/haproxy.cfg.hbs: "htpp" not defined in [object Object] - LINE:10'],
  ],
  [
    "makes a text that HAProxy refuses",
    "balance roundrobin",
    "balanc roundrobin",
    [
      "haproxy/haproxy.cfg.hbs: haproxy -c refuses what it renders",
      "  parsing [haproxy.cfg:LINE] : unknown keyword 'balanc' in 'backend' section; did you mean 'balance' maybe ?",
    ],
  ],
])("a template that %s", async (_, right, wrong, problems) => {
  const file = join(lab.folder, "haproxy/haproxy.cfg.hbs");
  const template = readFileSync(file, "utf8");
  expect(template).toContain(right);
  try {
    writeFileSync(file, template.replace(right, wrong));
    // Handlebars names the place in the template, for a block where it opens; HAProxy that in the file.
    const isOfHaproxy = problems.length > 1;
    const text = isOfHaproxy ? previewed(lab, 2) : template;
    const place = right === "{{/each}}" ? "{{#each nodes}}" : right;
    const line = text.slice(0, text.indexOf(place)).split("\n").length;
    const located = problems.map((problem) => problem.replace("LINE", String(line)));
    expect(await refusedBy("up")).toEqual(located);
  } finally {
    writeFileSync(file, template);
  }
  await expectUntouched();
});
