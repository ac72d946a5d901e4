/** What is done to a lab under load: one table for `npm run chaos` and the tests. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import type { LabCheckout } from "./checkout";
import { addByHand, awaitAgreement, pauseNode } from "./cluster";
import {
  balancersOf,
  CONFIG_PATH,
  eventually,
  get,
  inContainer,
  names,
  portOf,
  runningServers,
} from "./observe";

/** Limits of a fault; no GET may be lost unless there is an outage. */
export interface Aims {
  /** Above the time that the node itself takes, ms. */
  slowestMs?: number;
  /** What can't be zero: longest time without any answer, ms. */
  outageMs?: number;
}

/**
 * What ends a balancer at once goes through it, so that the trial knows when: requests that the balancer
 * had accepted by then may go without an answer.
 */
export type Killing = <T>(kill: () => Promise<T>) => Promise<T>;

export interface Fault {
  name: string;
  /** Declared nodes at its begin. */
  nodes: number;
  /** Balancers at its begin; 1 without it. */
  balancers?: 1 | 2;
  /** Before the load. */
  prepare?(lab: LabCheckout): Promise<unknown>;
  /** Under load; ends when the lab has come to terms with it. */
  inject(lab: LabCheckout, killing: Killing): Promise<unknown>;
  /** Under load. */
  heal?(lab: LabCheckout): Promise<unknown>;
  aims: Aims;
}

/** How long HAProxy may take to see what has become of a node. */
const NOTICE_MS = 20_000;
/** For how many seconds an application dies each second. */
const CRASHES = 8;
/** What hangs does so for longer than the server time-out, so that requests are given up on. */
const HANG_MS = 2500;
const TEMPLATE_CHANGES = 10;
const INTERRUPTIONS = 3;

/** Waits until containers, gossip, files and HAProxy agree again. */
export async function settle(lab: LabCheckout): Promise<void> {
  const { actual, wanted } = await awaitAgreement(lab);
  for (const [name, { file, ...others }] of Object.entries(actual.balancers)) {
    const { file: wantedFile, ...wantedOthers } = wanted.balancers[name];
    assert.deepEqual({ name, ...others }, { name, ...wantedOthers });
    // Apart, as both texts are long.
    assert.ok(file === wantedFile, `${name}'s haproxy.cfg is not the renderer's for these nodes`);
  }
}

/** Has each of so many nodes answer that much later. */
export async function slowDown(lab: LabCheckout, nodes: string[], ms: number): Promise<void> {
  const script = `fetch("http://127.0.0.1:3000/delay", { method: "POST",
    headers: { "content-type": "application/json" }, body: '{"delay": ${ms}}' })
    .then(({ status }) => process.exit(status === 200 ? 0 : 1));`;
  // An application that was just restarted may not listen yet.
  const ask = (name: string) =>
    eventually(NOTICE_MS, () => inContainer(lab, name, "node", "-e", script));
  await Promise.all(nodes.map(ask));
}

const service = (lab: LabCheckout, name: string, option: string, ...services: string[]) =>
  inContainer(lab, name, "s6-svc", option, ...services.map((one) => `/etc/s6/${one}`));

/** Waits for HAProxy's word on a node: UP, or not. */
const sees = (lab: LabCheckout, name: string, isUp: boolean) =>
  eventually(NOTICE_MS, async () => {
    const state = (await runningServers(lab))[name] ?? "gone";
    assert.equal(state === "UP L7OK", isUp, `${name} is ${state}`);
  });

const restarted = async (lab: LabCheckout, name: string) => {
  await lab.container(name).start();
  await settle(lab);
};

/** Changes a file of the lab's copy. @returns what puts it back */
function edit(lab: LabCheckout, file: string, change: (text: string) => string): () => void {
  const path = join(lab.folder, file);
  const before = readFileSync(path, "utf8");
  const after = change(before);
  assert.notEqual(after, before, `${file} has not what was to be changed`);
  writeFileSync(path, after);
  return () => writeFileSync(path, before);
}

let greetings = 0;
const editGreeting = (lab: LabCheckout) =>
  edit(lab, "images/webapp/src/app.ts", (text) =>
    text.replace(/hello: "[^"]*"/, `hello: "world ${++greetings}"`),
  );

/** The nodes answer with the greeting that was edited last. */
async function expectGreeting(lab: LabCheckout, nodeCount: number): Promise<void> {
  for (const [i] of names(nodeCount).entries()) {
    const { body } = await get(portOf(lab, "nodePorts") + i);
    assert.equal((JSON.parse(body) as { hello: string }).hello, `world ${greetings}`);
  }
}

async function rollImage(lab: LabCheckout, nodeCount: number): Promise<void> {
  editGreeting(lab);
  await lab.up();
  await expectGreeting(lab, nodeCount);
}

async function changeTemplate(lab: LabCheckout, times: number): Promise<void> {
  const template = "haproxy/haproxy.cfg.hbs";
  const undo = edit(lab, template, (text) => `# Changed\n${text}`);
  try {
    for (let i = 1; i < times; i++) {
      await lab.up();
      edit(lab, template, (text) => `# ${i}\n${text}`);
    }
    await lab.up();
  } finally {
    undo();
  }
  await lab.up();
}

/** An `up` whose CLI and all that it started are killed when a moment has come, or can't be awaited. */
export async function killUp(lab: LabCheckout, moment: () => Promise<unknown>): Promise<void> {
  const up = lab.startUpdate();
  const ended = once(up, "exit");
  try {
    await moment();
  } finally {
    if (up.exitCode === null) process.kill(-up.pid!, "SIGKILL");
    await ended;
  }
}

const atRandom = (withinMs: number) => () => delay(Math.random() * withinMs);

async function repair(lab: LabCheckout): Promise<void> {
  const args = ["--require", "tsx/cjs", "cli/repair.ts", "--stack", lab.stack];
  await promisify(execFile)(process.execPath, args, { cwd: lab.folder });
}

/** An application that says 500 to HAProxy's check, and nothing else, while a file is there. */
const SICK_FILE = "/tmp/sick";
const SICK_APPLICATION = `
  const fs = require("node:fs"), file = "/opt/webapp/server.js";
  const healthy = '() => ({ status: "ok" })';
  const text = fs.readFileSync(file, "utf8");
  if (text.includes("${SICK_FILE}")) process.exit(0);
  if (!text.includes(healthy)) process.exit(1);
  fs.writeFileSync(file, text.replace(healthy, (_) => '(_, reply) => require("node:fs")' +
    '.existsSync("${SICK_FILE}") ? reply.code(500).send({}) : { status: "ok" }'));`;

/** Runs as many at once as there are, and fails with the first. */
const together = (...work: Promise<unknown>[]) => Promise.all(work);

/** A change of the balancers' image that changes nothing else. */
export const editHaImage = (lab: LabCheckout, mark = "new") =>
  edit(lab, "images/ha/rootfs/etc/s6/haproxy/run", (text) => `${text}# ${mark}\n`);

/** How long an update takes that replaces both balancers, about, ms. */
const REPLACED_WITHIN_MS = 12_000;

const first = (lab: LabCheckout) => balancersOf(lab)[0].name;

/** What is tried with one balancer and with two, side by side. */
const balancerFaults: (Omit<Fault, "nodes"> & { aimsOfTwo: Aims })[] = [
  {
    name: "haproxy killed by -9",
    inject: (lab, killing) => killing(() => service(lab, first(lab), "-k", "haproxy")),
    aims: { outageMs: 500 },
    aimsOfTwo: {},
  },
  {
    name: "docker restart ha",
    inject: (lab) => lab.container("ha").restart({ t: 10 }),
    aims: { outageMs: 3000 },
    // The front: both come back by themselves.
    aimsOfTwo: { outageMs: 5000 },
  },
  {
    name: "a new ha image",
    async inject(lab) {
      const undo = editHaImage(lab);
      await lab.up();
      undo();
    },
    aims: { outageMs: 3000 },
    aimsOfTwo: {},
  },
  {
    name: "the template changed twice",
    inject: (lab) => changeTemplate(lab, 2),
    aims: {},
    aimsOfTwo: {},
  },
];

const twoBalancers = (name: string, inject: Fault["inject"], more: Partial<Fault> = {}): Fault => ({
  ...{ name, nodes: 3, balancers: 2, inject, aims: {} },
  ...more,
});

/** What happens to one of two balancers. */
const ofOneBalancer = (name: string): Fault[] => {
  const start = async (lab: LabCheckout) => restarted(lab, name);
  return [
    twoBalancers(
      `docker kill ${name}`,
      (lab, killing) => killing(() => lab.container(name).kill()),
      { heal: start },
    ),
    twoBalancers(`docker stop ${name}`, (lab) => lab.container(name).stop({ t: 10 }), {
      heal: start,
    }),
    twoBalancers(`docker restart ${name}`, (lab) => lab.container(name).restart({ t: 10 })),
    twoBalancers(`configurator and agent of ${name} killed`, (lab) =>
      service(lab, name, "-k", "configurator", "serf"),
    ),
    twoBalancers(
      `docker pause ${name}`,
      async (lab) => {
        await pauseNode(lab, name);
        await delay(HANG_MS);
      },
      // The kernel goes on to give it connections: those wait, and no others.
      { heal: (lab) => lab.container(name).unpause(), aims: { slowestMs: HANG_MS + 500 } },
    ),
  ];
};

const rolling = (nodeCount: number): Fault => ({
  name: `the web image changed, ${nodeCount} nodes`,
  nodes: nodeCount,
  inject: (lab) => rollImage(lab, nodeCount),
  aims: {},
});

export const FAULTS: Fault[] = [
  { name: "nothing, to compare with", nodes: 3, inject: () => delay(0), aims: {} },
  {
    name: "up 2 → 10 → 2",
    nodes: 2,
    inject: (lab) => lab.scale(10),
    heal: (lab) => lab.scale(2),
    aims: {},
  },
  rolling(2),
  {
    name: "nodes added and removed by hand",
    nodes: 2,
    async inject(lab) {
      await together(addByHand(lab, "s8"), addByHand(lab, "s9"));
      await settle(lab);
    },
    async heal(lab) {
      for (const name of ["s8", "s9"]) {
        await lab.container(name).stop({ t: 10 });
        await lab.container(name).remove();
      }
    },
    aims: {},
  },
  {
    name: "docker stop",
    nodes: 3,
    inject: (lab) => lab.container("s2").stop({ t: 10 }),
    heal: (lab) => restarted(lab, "s2"),
    aims: { slowestMs: 300 },
  },
  {
    name: "docker kill",
    nodes: 3,
    async inject(lab) {
      await lab.container("s2").kill();
      await sees(lab, "s2", false);
    },
    heal: (lab) => restarted(lab, "s2"),
    aims: { slowestMs: 300 },
  },
  {
    name: "docker pause",
    nodes: 3,
    async inject(lab) {
      await together(pauseNode(lab, "s2"), delay(HANG_MS));
      await sees(lab, "s2", false);
    },
    heal: (lab) => lab.container("s2").unpause(),
    aims: { slowestMs: 1500 },
  },
  {
    name: "an application hangs",
    nodes: 3,
    async inject(lab) {
      await together(service(lab, "s2", "-p", "app"), delay(HANG_MS));
      await sees(lab, "s2", false);
    },
    heal: (lab) => service(lab, "s2", "-c", "app"),
    aims: { slowestMs: 1500 },
  },
  {
    name: "an application answers 500 to its check",
    nodes: 3,
    async prepare(lab) {
      await inContainer(lab, "s2", "node", "-e", SICK_APPLICATION);
      const pid = () => inContainer(lab, "s2", "s6-svstat", "-o", "pid", "/etc/s6/app");
      const before = await pid();
      await service(lab, "s2", "-r", "app");
      await eventually(NOTICE_MS, async () => assert.notEqual(await pid(), before));
      await slowDown(lab, ["s2"], 0);
      await sees(lab, "s2", true);
    },
    async inject(lab) {
      await inContainer(lab, "s2", "touch", SICK_FILE);
      await sees(lab, "s2", false);
    },
    heal: (lab) => inContainer(lab, "s2", "rm", SICK_FILE),
    aims: {},
  },
  {
    name: "an application is slow",
    nodes: 3,
    async inject(lab) {
      await slowDown(lab, ["s2"], 700);
      // It is slow, not sick: HAProxy goes on with it.
      await eventually(NOTICE_MS, async () => {
        const started = Date.now();
        await get(portOf(lab, "httpPort"));
        assert.ok(Date.now() - started > 600);
      });
    },
    aims: { slowestMs: 1000 },
  },
  {
    name: "an application crashes every second",
    nodes: 3,
    async inject(lab) {
      for (let i = 0; i < CRASHES; i++) {
        await together(service(lab, "s2", "-k", "app"), delay(1000));
      }
    },
    aims: {},
  },
  {
    name: "an application is restarted",
    nodes: 3,
    inject: (lab) => service(lab, "s2", "-r", "app"),
    aims: {},
  },
  {
    name: "serf, join, configurator and all logs killed",
    nodes: 3,
    async inject(lab) {
      const common = ["serf", "serf/log", "join", "join/log"];
      const balancer = [...common, "configurator", "configurator/log", "haproxy/log"];
      await together(
        ...balancersOf(lab).map(({ name }) => service(lab, name, "-k", ...balancer)),
        ...names(3).map((name) => service(lab, name, "-k", ...common, "app/log")),
      );
    },
    aims: {},
  },
  {
    name: `the template changed ${TEMPLATE_CHANGES} times`,
    nodes: 3,
    inject: (lab) => changeTemplate(lab, TEMPLATE_CHANGES),
    aims: {},
  },
  {
    name: "up killed at random moments and run again",
    nodes: 3,
    async inject(lab) {
      const started = Date.now();
      await lab.scale(4);
      const took = Date.now() - started;
      for (let i = 0; i < INTERRUPTIONS; i++) {
        await repair(lab);
        await lab.configure("nodeCount", i % 2 ? 5 : 3);
        await killUp(lab, atRandom(took));
      }
    },
    async heal(lab) {
      await repair(lab);
      await lab.scale(3);
    },
    aims: {},
  },
  {
    name: "docker kill during a reload",
    nodes: 3,
    inject: (lab) =>
      together(
        changeTemplate(lab, 1),
        // An update waits for all nodes, so this one has to come back.
        lab
          .container("s2")
          .kill()
          .then(() => sees(lab, "s2", false))
          .then(() => lab.container("s2").start()),
      ),
    aims: {},
  },
  {
    name: "one hangs, another is stopped",
    nodes: 3,
    async inject(lab) {
      const others = [lab.container("s3").stop({ t: 10 }), delay(HANG_MS)];
      await together(service(lab, "s2", "-p", "app"), ...others);
      await sees(lab, "s2", false);
    },
    async heal(lab) {
      await service(lab, "s2", "-c", "app");
      await restarted(lab, "s3");
    },
    aims: { slowestMs: 1500 },
  },
  rolling(6),
  {
    name: "a version that never becomes healthy, then a good one",
    nodes: 6,
    async inject(lab) {
      await lab.configure("readyTimeout", 10);
      const undo = edit(lab, "images/webapp/src/app.ts", (text) =>
        text.replace('"/health", () =>', '"/health", (_, reply) => reply.code(500) &&'),
      );
      const { code, output } = await lab.pulumi(
        ...["up", "--yes", "--skip-preview", "--stack", lab.stack],
      );
      undo();
      assert.notEqual(code, 0, "an up to a version that is never healthy has to fail");
      assert.match(output, /not serving at the deadline: s\d+ \(/);
      const serving = Object.values(await runningServers(lab)).filter((state) =>
        state.startsWith("UP"),
      );
      assert.ok(serving.length > 0, "the old nodes serve on");
    },
    async heal(lab) {
      await rollImage(lab, 6);
      await lab.configure("readyTimeout", 60);
    },
    aims: {},
  },
  ...balancerFaults.map((fault) => ({ ...fault, nodes: 3 })),
  ...balancerFaults.map(({ name, inject, heal, aimsOfTwo: aims }): Fault => ({
    ...{ name: `${name}, two balancers`, nodes: 3, balancers: 2, inject, heal },
    aims,
  })),
  ...["ha1", "ha2"].flatMap(ofOneBalancer),
  twoBalancers("both balancers restarted in turn", async (lab) => {
    for (const name of ["ha1", "ha2"]) {
      await lab.container(name).restart({ t: 10 });
      await settle(lab);
    }
  }),
  twoBalancers("ha1 on a bad config by hand", async (lab, killing) => {
    const script = `echo nonsense >>${CONFIG_PATH}`;
    await inContainer(lab, "ha1", "s6-setuidgid", "haproxy", "sh", "-c", script);
    await killing(() => service(lab, "ha1", "-k", "haproxy"));
  }),
  twoBalancers("up killed while it replaces the balancers", async (lab) => {
    for (let i = 0; i < INTERRUPTIONS; i++) {
      editHaImage(lab, `${i}`);
      await killUp(lab, atRandom(REPLACED_WITHIN_MS));
      await repair(lab);
    }
    await lab.succeed("up", "--refresh", "--yes", "--skip-preview", "--stack", lab.stack);
  }),
  twoBalancers("up killed while it changes the template", async (lab) => {
    const undo = edit(lab, "haproxy/haproxy.cfg.hbs", (text) => `# Changed\n${text}`);
    for (let i = 0; i < INTERRUPTIONS; i++) {
      await killUp(lab, atRandom(REPLACED_WITHIN_MS));
      await repair(lab);
    }
    undo();
    await lab.succeed("up", "--refresh", "--yes", "--skip-preview", "--stack", lab.stack);
  }),
  {
    name: "from one balancer to two",
    nodes: 3,
    async inject(lab) {
      await lab.setBalancers(2);
      await lab.up();
    },
    aims: { outageMs: 6000 },
  },
  {
    name: "from two balancers to one",
    nodes: 3,
    balancers: 2,
    async inject(lab) {
      await lab.setBalancers(1);
      await lab.up();
    },
    aims: { outageMs: 6000 },
  },
];
