/** How a change becomes the running configuration, and what is left of one that fails half-way. */
import { execFileSync } from "node:child_process";
import { Agent, request } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { askConfigurator } from "../../configurator/client";
import {
  balancerName,
  configuratorLog,
  configuratorPid,
  masterCli,
  trigger,
  proxies,
  push,
  type Pushed,
  readPushed,
  readState,
  showProcesses,
  stateOf,
  stats,
} from "../support/balancer";
import { LabCheckout } from "../support/checkout";
import { expectAgreement } from "../support/cluster";
import { describeLoad, underLoad } from "../support/load";
import { configOnDisk, eventually, get, inContainer, names, portOf } from "../support/observe";

jest.setTimeout(300_000);

/** An old worker ends at the latest after this: settings.hardStopSeconds, and some. */
const OLD_WORKER_MS = 35_000;
const HEAL_MS = 15_000;
const NO_SERVICE_MS = 2000;
const KILLS = 20;
/** A process that dies younger than a second waits for one, which keeps a broken one from spinning. */
const STEADY_S = 1;
const NODES = 4;
/** Light: what a change costs is to be seen, not what two processors can take. */
const LOAD = { rate: 20, postRate: 0 };

let lab: LabCheckout;
beforeAll(async () => {
  lab = await LabCheckout.create("e2e-apply");
  await lab.up();
});
afterAll(() => lab.remove());

const asHaproxy = (script: string) =>
  inContainer(lab, "ha", "s6-setuidgid", "haproxy", "sh", "-c", script);

interface Visit {
  status: number;
  tag: string;
  views: number;
  /** The client's port: names the connection. */
  port: number;
}

/** A client with one connection, and with cookies like a browser's. */
class Browser {
  readonly visits: Visit[] = [];
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 1 });
  private readonly cookies = new Map<string, string>();

  get cookieNames(): string[] {
    return [...this.cookies.keys()].sort();
  }

  visit(): Promise<void> {
    const { agent } = this;
    const cookie = [...this.cookies].map((pair) => pair.join("=")).join("; ");
    return new Promise((resolve, reject) => {
      const to = { host: "127.0.0.1", port: portOf(lab, "httpPort"), agent };
      const sent = request({ ...to, headers: cookie === "" ? {} : { cookie } });
      sent.on("error", reject).on("response", (response) => {
        const port = response.socket.localPort!;
        for (const line of response.headers["set-cookie"] ?? []) {
          const [name, value] = line.split(";")[0].split("=");
          this.cookies.set(name, value);
        }
        let body = "";
        response.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
        response.on("end", () => {
          const { tag, sessionViews } = JSON.parse(body) as { tag: string; sessionViews: number };
          this.visits.push({ status: response.statusCode!, tag, views: sessionViews, port });
          resolve();
        });
      });
      sent.end();
    });
  }

  close(): void {
    this.agent.destroy();
  }
}

/** Does something again and again until the work has ended. */
async function meanwhile(again: () => Promise<void>, work: () => Promise<void>): Promise<void> {
  let working = true;
  const loop = async () => {
    while (working) {
      await again();
      await delay(100);
    }
  };
  const looping = loop();
  try {
    await work();
  } finally {
    working = false;
    await looping;
  }
}

test("2 → 10 → 2: worker, counters, connections and sessions live on, nothing is lost", async () => {
  const before = await showProcesses(lab);
  const browser = new Browser();
  const counters: { frontend: number; s1: number }[] = [];
  const look = async () => {
    await browser.visit();
    const rows = await stats(lab);
    const [frontend, s1] = ["localnodes/FRONTEND", "nodes/s1"].map((row) =>
      Number(rows.get(row)?.stot),
    );
    counters.push({ frontend, s1 });
  };
  const load = await underLoad(
    lab,
    () =>
      meanwhile(look, async () => {
        await lab.scale(10);
        expect(await expectAgreement(lab)).toEqual(
          names(10).sort((a, b) => a.localeCompare(b, "en", { numeric: true })),
        );
        await lab.scale(2);
        expect(await expectAgreement(lab)).toEqual(names(2));
      }),
    LOAD,
  );
  browser.close();
  console.log(`2 → 10 → 2: ${describeLoad(load)}`);
  expect(load.lost).toEqual([]);
  expect(await showProcesses(lab)).toEqual(before);
  const [{ tag, port }] = browser.visits;
  expect(browser.cookieNames).toEqual(["NODESESSID", "SERVERID"]);
  expect(browser.visits).toEqual(
    browser.visits.map((_, i) => ({ status: 200, tag, views: i + 1, port })),
  );
  for (const key of ["frontend", "s1"] as const) {
    const values = counters.map((one) => one[key]);
    expect(values).toEqual([...values].sort((a, b) => a - b));
    expect(values.at(-1)).toBeGreaterThan(values[0]);
  }
  const applied = (await configuratorLog(lab)).filter((line) => line.startsWith("applied"));
  expect(applied.length).toBeGreaterThan(1);
  expect(applied.slice(1).filter((line) => !line.startsWith("applied by Runtime API"))).toEqual([]);
});

describe("pushed by hand", () => {
  let all: Pushed;
  beforeAll(async () => {
    await lab.scale(NODES);
    await expectAgreement(lab);
    all = await readPushed(lab);
  });

  /** The first so many nodes, and the template's way to balance. */
  const declare = (count: number, algorithm = "roundrobin"): Pushed => ({
    ...all,
    template: all.template.replace("balance roundrobin", `balance ${algorithm}`),
    nodes: all.nodes.slice(0, count),
  });

  const expectState = (pushed: Pushed) =>
    eventually(HEAL_MS, async () => expect(await readState(lab)).toEqual(stateOf(pushed)));

  /** One master, one worker, and nobody else listens. */
  const expectOneProxy = () =>
    eventually(OLD_WORKER_MS, async () => {
      const { masters, workers, listening } = await proxies(lab);
      expect({ masters: masters.length, listening }).toEqual({ masters: 1, listening: workers });
      expect(workers).toHaveLength(1);
    });

  /** The configurator may be starting again. */
  const expectAnswer = () =>
    eventually(HEAL_MS, async () => {
      const outcome = await askConfigurator(balancerName(lab), { do: "status" });
      expect(outcome).toMatchObject({ done: true });
    });

  async function settle(pushed: Pushed): Promise<void> {
    await expectAnswer();
    expect(await push(lab, pushed)).toEqual({ done: true });
    await expectState(pushed);
  }

  const expectServed = async () => {
    for (let i = 0; i < 8; i++) {
      expect(await get(portOf(lab, "httpPort"))).toMatchObject({ status: 200 });
    }
  };

  const expectLogged = (since: string[], said: RegExp) =>
    eventually(HEAL_MS, async () =>
      expect((await configuratorLog(lab)).slice(since.length).join("\n")).toMatch(said),
    );

  test("a server added at run time is as the file makes it", async () => {
    await settle(declare(2));
    await settle(declare(4));
    const shown = async () => {
      const rows = await stats(lab);
      // What the process counts or measures, or numbers by itself, is not an argument.
      const settings = ["addr", "bck", "act", "weight", "cookie", "mode", "type", "check_rise"];
      const fields = [...settings, "check_fall", "agent_rise", "tracked", "throttle", "slim"];
      return all.nodes.map(({ name }) =>
        Object.fromEntries(fields.map((field) => [field, rows.get(`nodes/${name}`)![field]])),
      );
    };
    const guids = async () =>
      (await masterCli(lab, "@1 dump stats-file", 2)).match(/^s\d+,/gm)!.sort();
    const added = { servers: await shown(), guids: await guids() };
    expect(await push(lab, declare(4, "leastconn"))).toEqual({ done: true });
    expect({ servers: await shown(), guids: await guids() }).toEqual(added);
    await settle(declare(4));
  });

  test("a changed template is a reload: no old worker, no lost request, counters go on", async () => {
    await settle(declare(4));
    const RELOADS = 4;
    const total = async () => Number((await stats(lab)).get("nodes/BACKEND")!.stot);
    const gone: number[] = [];
    const seen = [await total()];
    const load = await underLoad(
      lab,
      async () => {
        for (let i = 1; i <= RELOADS; i++) {
          const { worker } = await showProcesses(lab);
          expect(await push(lab, declare(4, i % 2 ? "leastconn" : "roundrobin"))).toEqual({
            done: true,
          });
          const since = Date.now();
          await eventually(OLD_WORKER_MS, async () => {
            const { worker: now, old } = await showProcesses(lab);
            expect({ old, same: now[0] === worker[0] }).toEqual({ old: [], same: false });
          });
          gone.push(Date.now() - since);
          seen.push(await total());
        }
      },
      LOAD,
    );
    const lostCounts = load.sent - ((await total()) - seen[0]);
    console.log(
      `${RELOADS} reloads: ${describeLoad(load)}\nold worker gone ${gone.join(", ")} ms after the push ` +
        `had ended; of ${load.sent} requests the counters missed ${lostCounts}, ` +
        `${(lostCounts / RELOADS).toFixed(1)} a reload`,
    );
    expect(load.lost).toEqual([]);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(lostCounts / RELOADS).toBeLessThan(100);
    await expectOneProxy();
  });

  test("the Runtime API refuses a step: reloaded, and the log has HAProxy's words", async () => {
    await settle(declare(2));
    const log = await configuratorLog(lab);
    expect(await masterCli(lab, "@1 add server nodes/s3 127.0.0.1:9")).toContain("registered");
    await settle(declare(4));
    await expectLogged(log, /^reloading, because: .*s3/m);
    await expectOneProxy();
  });

  test("the master's socket gone: the old config serves on, the log says so, it heals", async () => {
    await settle(declare(2));
    const log = await configuratorLog(lab);
    await asHaproxy("mv /run/haproxy/master.sock /run/haproxy/away");
    expect(await push(lab, declare(4, "leastconn"))).toEqual({
      refused: "haproxy did not answer within 5 s: connect ENOENT /run/haproxy/master.sock",
    });
    await expectServed();
    expect(await readPushed(lab)).toEqual(declare(2));
    await expectLogged(log, /did not answer within 5 s: connect ENOENT/);
    await asHaproxy("mv /run/haproxy/away /run/haproxy/master.sock");
    await expectState(declare(2));
    await settle(declare(4, "leastconn"));
    await expectOneProxy();
  });

  test.each(["/nodes", "/usr/local/etc/haproxy", "/var/lib/configurator"])(
    "the disk under %s full: the old state, the log says so, it heals",
    async (folder) => {
      await settle(declare(2));
      const { State } = await lab.container("ha").inspect();
      const inMounts = (script: string) =>
        execFileSync("nsenter", ["--target", `${State.Pid}`, "--mount", "sh", "-c", script]);
      inMounts(`
        set -e; owner=$(stat -c uid=%u,gid=%g ${folder}); cp -a ${folder} /tmp/content
        mount -t tmpfs -o size=96k,mode=755,$owner tmpfs ${folder}
        cp -a /tmp/content/. ${folder}; rm -r /tmp/content
        dd if=/dev/zero of=${folder}/filler.yaml bs=4k 2>/dev/null || true`);
      const log = await configuratorLog(lab);
      const outcome = await push(lab, declare(4, "leastconn"));
      expect(outcome).toEqual({ refused: expect.stringMatching(/ENOSPC/) as string });
      await expectServed();
      expect((await readState(lab)).servers).toEqual(stateOf(declare(2)).servers);
      await expectLogged(log, /can't be written: ENOSPC/);
      await asHaproxy(`rm -f ${folder}/filler.yaml`);
      await settle(declare(4, "leastconn"));
      await expectOneProxy();
    },
  );

  test.each([
    ["garbage", "printf '}{' >/nodes/s1.yaml"],
    ["another node's name", "cp /nodes/s1.yaml /nodes/s7.yaml"],
    ["a folder", "rm /nodes/s2.yaml; mkdir -p /nodes/s2.yaml/x"],
    ["a FIFO", "rm /nodes/s2.yaml; mkfifo /nodes/s2.yaml"],
    ["nothing", "rm /nodes/*"],
  ])("%s in /nodes changes nothing and is put right", async (_what, fault) => {
    await settle(declare(2));
    const before = await showProcesses(lab);
    await asHaproxy(fault);
    await trigger(lab);
    await expectState(declare(2));
    expect(await showProcesses(lab)).toEqual(before);
  });

  const declaration = "/var/lib/configurator/declaration.json";
  test.each([
    ["empty", `: >${declaration}`, "Unexpected end of JSON input"],
    ["garbage", `echo '{"template": 5}' >${declaration}`, ""],
    ["with a broken template", `sed -i 's/{{#each nodes}}/{{#each/' ${declaration}`, ""],
  ])("declaration.json %s: the last good config serves on", async (_what, fault, why) => {
    await settle(declare(2));
    const before = await showProcesses(lab);
    const log = await configuratorLog(lab);
    await asHaproxy(fault);
    await trigger(lab);
    await expectLogged(log, new RegExp(`^${declaration}: .*${why}`, "m"));
    await expectState(declare(2));
    expect(await showProcesses(lab)).toEqual(before);
    // Drift, so that an update with --refresh pushes again.
    const said = expect.stringMatching(new RegExp(`^${declaration}: .*${why}`)) as string;
    expect(await askConfigurator(balancerName(lab), { do: "status" })).toEqual({
      done: true,
      status: { live: await configOnDisk(lab), runtime: [said] },
    });
    await settle(declare(2));
  });

  test.each([
    ["memory.json empty", ": >/var/lib/configurator/memory.json"],
    ["memory.json garbage", "echo '[1]' >/var/lib/configurator/memory.json"],
    ["applied.cfg empty", ": >/var/lib/configurator/applied.cfg"],
    ["applied.cfg garbage", "echo 'backend nodes' >/var/lib/configurator/applied.cfg"],
    ["the worker's record gone", "rm /var/lib/configurator/worker"],
  ])("%s: it heals by itself", async (_what, fault) => {
    await settle(declare(2));
    await asHaproxy(fault);
    await trigger(lab);
    await expectState(declare(2));
    await expectServed();
    await expectOneProxy();
  });

  test("haproxy.cfg broken by hand and haproxy dead: it is put right", async () => {
    await settle(declare(2));
    await asHaproxy(": >/usr/local/etc/haproxy/haproxy.cfg");
    process.kill((await proxies(lab)).masters[0], "SIGKILL");
    await expectState(declare(2));
    await expectOneProxy();
  });

  /** The apply may have replaced the process already. */
  function killIfThere(pid: number): void {
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }

  /** The same numbers each time. */
  function* random(seed: number) {
    for (;;) {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      yield seed / 2 ** 32;
    }
  }

  test.each([
    ["the configurator", KILLS, async () => [await configuratorPid(lab)]],
    ["haproxy's master", 5, async () => (await proxies(lab)).masters],
    ["haproxy's worker", 5, async () => (await proxies(lab)).workers],
  ])("kill -9 of %s at a random moment of an apply, %i times", async (_what, kills, find) => {
    const numbers = random(6);
    const next = () => numbers.next().value as number;
    let old = declare(2);
    await settle(old);
    let kept = 0;
    for (let i = 0; i < kills; i++) {
      const count = 1 + Math.floor(next() * NODES);
      const wanted = declare(count, next() < 0.5 ? "leastconn" : "roundrobin");
      await expectAnswer();
      // The one before may be starting again.
      const victims = await eventually(HEAL_MS, async () => {
        const found = await find();
        expect(found).toHaveLength(1);
        return found;
      });
      const pushing = push(lab, wanted);
      await delay(100 + next() * 500);
      killIfThere(victims[0]);
      await pushing;
      const now = await eventually(HEAL_MS, async () => {
        const pushed = await readPushed(lab);
        expect([old, wanted]).toContainEqual(pushed);
        expect(await readState(lab)).toEqual(stateOf(pushed));
        return pushed;
      });
      if (JSON.stringify(now) === JSON.stringify(old)) kept++;
      old = now;
    }
    await expectOneProxy();
    console.log(`${kills} kills: ${kept} ended in the old state, ${kills - kept} in the new`);
  });

  /** Of HAProxy's worker, s. */
  const uptime = async () =>
    Number(/^Uptime_sec: (\d+)$/m.exec(await masterCli(lab, "@1 show info"))![1]);

  test.each(["masters", "workers"] as const)(
    "kill -9 of haproxy's %s: back at once",
    async (who) => {
      const pushed = declare(4);
      await settle(pushed);
      const gaps: number[] = [];
      for (let i = 0; i < 5; i++) {
        await eventually(HEAL_MS, async () => expect(await uptime()).toBeGreaterThan(STEADY_S));
        await eventually(HEAL_MS, async () => expect(await uptime()).toBeGreaterThan(STEADY_S));
        const [pid] = (await proxies(lab))[who];
        process.kill(pid, "SIGKILL");
        const killed = performance.now();
        await eventually(NO_SERVICE_MS, async () => {
          if ((await proxies(lab))[who].includes(pid)) throw new Error("not dead yet");
        });
        // Counted in tries: eventually() would wait 50 ms between two.
        let answered = false;
        while (!answered) {
          expect(performance.now() - killed).toBeLessThan(NO_SERVICE_MS);
          answered = await get(portOf(lab, "httpPort")).then(
            ({ status }) => status === 200,
            () => false,
          );
        }
        gaps.push(Math.round(performance.now() - killed));
        await expectState(pushed);
      }
      console.log(`kill -9 of ${who}: served again after ${gaps.join(", ")} ms`);
      await expectOneProxy();
    },
  );

  test.each([
    ["set server nodes/s1 state maint", "server nodes/s1: got MAINT, expected ready"],
    ["set server nodes/s1 state drain", "server nodes/s1: got DRAIN, expected ready"],
    ["set weight nodes/s2 0", "server nodes/s2: got weight 0, expected 1"],
    ["disable health nodes/s2", "server nodes/s2: got health checks off, expected on"],
    ["disable frontend localnodes", "frontend localnodes: got PAUSED, expected OPEN"],
    ["shutdown frontend localnodes", "frontend localnodes: got STOP, expected OPEN"],
  ])("%s by the admin CLI shows as drift and lasts until the next push", async (command, drift) => {
    await settle(declare(2));
    const drifted = async () => {
      const outcome = await askConfigurator(balancerName(lab), { do: "status" });
      return "done" in outcome ? outcome.status?.runtime : outcome;
    };
    expect(await drifted()).toEqual([]);
    await masterCli(lab, `@1 ${command}`);
    expect(await drifted()).toEqual([drift]);
    await trigger(lab);
    expect(await drifted()).toEqual([drift]);
    await settle(declare(2));
    expect(await drifted()).toEqual([]);
    await expectServed();
    await expectOneProxy();
  });
});
