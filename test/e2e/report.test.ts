import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { openBrowser } from "../../cli/browser";
import { STACK_LABEL } from "../../config/topology";
import { engine, LabCheckout, type Outcome } from "../support/checkout";
import { LONG } from "../support/long";
import { eventually } from "../support/observe";

jest.setTimeout(600_000);

/** Its stack is selected and has no lab: the report makes its own. */
let lab: LabCheckout;
beforeAll(async () => void (lab = await LabCheckout.create("e2e-report")));
afterAll(() => lab.remove());

let out: string;
beforeEach(() => mkdirSync((out = join(lab.folder, "out"))));
afterEach(() => rmSync(out, { recursive: true }));

/** @param interrupt is given the process and what it has printed so far, while it runs */
function report(
  args: string[],
  interrupt: (process: ChildProcess, printed: () => string) => Promise<void> = async () =>
    undefined,
): Promise<Outcome> {
  const command = ["--require", "tsx/cjs", "cli/report.ts", "--out", out, ...args];
  const child = spawn(process.execPath, command, { cwd: lab.folder });
  let output = "";
  const keep = (chunk: Buffer) => (output += chunk.toString());
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const ended = new Promise<Outcome>((resolve) =>
    child.on("close", (code) => resolve({ code: code!, output })),
  );
  return interrupt(child, () => output).then(() => ended);
}

const ofReport = { label: [`${STACK_LABEL}=report-lab`] };
const listContainers = () => engine.listContainers({ all: true, filters: ofReport });

/** What the engine and Pulumi still have of the report's lab, with the parts of a report. */
async function leftovers(): Promise<string[]> {
  const containers = await listContainers();
  const networks = await engine.listNetworks({ filters: ofReport });
  const images = await engine.listImages({ filters: ofReport });
  const stacks = JSON.parse(await lab.succeed("stack", "ls", "--json")) as {
    name: string;
    current: boolean;
  }[];
  expect(stacks.find(({ current }) => current)?.name).toBe(lab.stack);
  return [
    ...containers.flatMap(({ Names }) => Names),
    ...networks.map(({ Name }) => Name),
    ...images.flatMap(({ RepoTags }) => RepoTags ?? []),
    ...stacks.map(({ name }) => name).filter((name) => name !== lab.stack),
    ...readdirSync(lab.folder).filter((name) => name.includes("report-lab")),
  ];
}

const FILES: Record<number, string[]> = {
  0: ["stats.png"],
  1: ["stats.png"],
  2: ["ha.log", "s1.log", "s2.log"],
  3: [
    ...["1-ha-after-s1.log", "2-ha-after-s2.log"],
    ...["3-all-running-ha.log", "3-all-running-s1.log", "3-all-running-s2.log", "serf.log"],
  ],
  4: ["1-ha.haproxy.cfg", "2-ha-s1.haproxy.cfg", "3-ha-s1-s2.haproxy.cfg"],
  5: [
    ...["1-ha.haproxy.cfg", "1-ha.nodes.txt", "2-ha-s1.haproxy.cfg", "2-ha-s1.nodes.txt"],
    ...["3-ha-s1-s2.docker-ps.txt", "3-ha-s1-s2.haproxy.cfg", "3-ha-s1-s2.nodes.txt"],
    ...["4-s2-stopped.docker-ps.txt", "4-s2-stopped.haproxy.cfg", "4-s2-stopped.nodes.txt"],
    ...["inspect-ha.json", "inspect-s1.json", "inspect-s2.json"],
  ],
  6: ["1-four-nodes", "2-s3-stopped", "3-s4-stopped", "4-s5-started", "5-s3-s4-again"].flatMap(
    (step) => [`${step}.docker-ps.txt`, `${step}.png`],
  ),
};

function listFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true, encoding: "utf8" })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

async function expectGoodPage(): Promise<void> {
  const file = join(out, "report", "index.html");
  const browser = await openBrowser();
  try {
    for (const [width, colorScheme] of [
      [1280, "light"],
      [1280, "dark"],
      [390, "light"],
    ] as const) {
      const page = await browser.newPage({ viewport: { width, height: 800 }, colorScheme });
      const requests: string[] = [];
      page.on("request", (request) => requests.push(request.url().slice(0, 5)));
      await page.goto(pathToFileURL(file).href);
      const seen = await page.evaluate<object>(`({
        width: document.documentElement.scrollWidth,
        broken: [...document.images].filter((it) => it.naturalWidth === 0).length,
      })`);
      expect(seen).toEqual({ width, broken: 0 });
      expect([...new Set(requests)].sort()).toEqual(expect.not.arrayContaining(["http:", "https"]));
      await page.close();
    }
  } finally {
    await browser.close();
  }
  const links = [...readFileSync(file, "utf8").matchAll(/href="(\.\.[^"]*)"/g)].map(([, to]) => to);
  const inMarkdown = readFileSync(join(out, "report", "report.md"), "utf8").matchAll(
    /\]\((\.\.[^)]*)\)/g,
  );
  for (const link of [...links, ...[...inMarkdown].map(([, to]) => to)]) {
    expect({ link, exists: existsSync(join(out, "report", decodeURI(link))) }).toEqual({
      link,
      exists: true,
    });
  }
}

test("a task's evidence and report are whole, and its lab is gone afterwards", async () => {
  const { code, output } = await report(LONG ? [] : ["--task", "6"]);
  expect({ code, output }).toEqual({
    code: 0,
    output: expect.stringMatching(/ \d:\d\d {2}done: .*\/out\/report\/index\.html\n$/) as string,
  });
  const tasks = LONG ? [0, 1, 2, 3, 4, 5, 6] : [6];
  const evidence = tasks.flatMap((task) => FILES[task].map((name) => `logs/task ${task}/${name}`));
  const files = listFiles(out);
  expect(files).toEqual([...evidence, "report/index.html", "report/report.md"].sort());
  for (const file of files.filter((name) => name.endsWith(".png"))) {
    const header = readFileSync(join(out, file)).subarray(0, 20);
    expect({ file, header: header.toString("hex") }).toEqual({
      file,
      // PNG's signature, its first chunk, and 1440 pixels.
      header: "89504e470d0a1a0a0000000d49484452000005a0",
    });
  }
  const running = evidence.filter((name) => name.includes("task 6") && name.endsWith("ps.txt"));
  const lines = running.map((file) => readFileSync(join(out, file), "utf8").trim().split("\n"));
  const names = lines.map(([, ...rows]) => rows.map((row) => row.split(" ").at(-1)));
  const containers = (...nodes: string[]) => ["ha", ...nodes].map((name) => `report-${name}`);
  expect(names).toEqual([
    containers("s1", "s2", "s3", "s4"),
    containers("s1", "s2", "s4"),
    containers("s1", "s2"),
    containers("s1", "s2", "s5"),
    containers("s1", "s2", "s3", "s4", "s5"),
  ]);
  const markdown = readFileSync(join(out, "report", "report.md"), "utf8");
  expect(markdown.match(/^\| [^|]+ \| \d+ \| 0 \| s1: .*\|$/gm)).toHaveLength(LONG ? 6 : 5);
  expect(markdown).toMatch(/^\| s5 \| \d+\.\d\d s \| \d+\.\d\d s \| \d+\.\d\d s \|$/m);
  expect(markdown).toContain("> **Task 6a** How do you feel about the final solution?");
  await expectGoodPage();
  expect(await leftovers()).toEqual([]);
});

test.each<[NodeJS.Signals, number, string, (printed: string) => Promise<boolean>]>([
  ["SIGINT", 130, "the update", async () => (await listContainers()).length > 0],
  ["SIGTERM", 143, "a task", async (printed) => printed.includes("task 0: screenshot")],
])("%s takes the lab down (exit code %i) in the middle of %s", async (signal, code, _, isTime) => {
  const outcome = await report(["--task", "0"], async (child, printed) => {
    await eventually(120_000, async () => {
      if (!(await isTime(printed()))) throw new Error(`not there yet: ${printed()}`);
    });
    child.kill(signal);
  });
  expect(outcome).toEqual({
    code,
    output: expect.stringMatching(/\n\nInterrupted: nothing is left of this report\.\n$/) as string,
  });
  expect(readdirSync(out)).toEqual([]);
  expect(await leftovers()).toEqual([]);
});

const usage = (problem: string) => `\n${problem}\n\nusage: npm run report [-- `;
test.each<[args: string[], code: number, begins: string]>([
  [["--help"], 0, "usage: npm run report [-- "],
  [["--task", "7"], 2, usage("--task: got 7, expected a number from 0 to 6")],
  [["--task", "six"], 2, usage("--task: got six, expected a number from 0 to 6")],
  [["--task", "6", "--here"], 2, usage("--task: not with --here")],
  [["--stack", "dev"], 2, usage("--stack: only with --here")],
  [["--nix"], 2, "\nUnknown option '--nix'"],
  [["--out", "/nowhere"], 2, "\n--out: got /nowhere, expected a folder\n"],
  [["--here"], 1, "\nthe lab of stack e2e-report does not run; start it with: "],
])("%j ends with %i and a reason", async (args, code, begins) => {
  const outcome = await report(args);
  expect({ code: outcome.code, begins: outcome.output.slice(0, begins.length) }).toEqual({
    code,
    begins,
  });
  expect(readdirSync(out)).toEqual([]);
});

test("a report that is there is not replaced", async () => {
  mkdirSync(join(out, "report"));
  expect(await report([])).toEqual({
    code: 1,
    output:
      `\n${join(out, "report")} exists already; move away what is there, ` +
      "or name another folder with: npm run report -- --out DIR\n",
  });
  expect(readdirSync(out)).toEqual(["report"]);
});
