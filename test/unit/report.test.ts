import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type Docker from "dockerode";
import { browserStep } from "../../cli/browser";
import { describeTask, describeWalk, type TaskRecord } from "../../cli/report/describe";
import { diffLines, linkTo, type Document } from "../../cli/report/document";
import {
  findStart,
  formatContainers,
  isSettled,
  parseSerfLog,
  withoutPasswords,
} from "../../cli/report/evidence";
import { TASKS } from "../../cli/report/tasks";
import { toHtml } from "../../cli/report/html";
import { toMarkdown } from "../../cli/report/markdown";
import { UsageError } from "../../cli/command";
import { Output } from "../../cli/report/output";
import { complete } from "../../cli/setup/step";
import type { ClusterView } from "../../configurator/protocol/control";

test.each([
  ["nothing", ["a", "b"], ["a", "b"], []],
  ["a line at the end", ["a"], ["a", "b"], ["+b"]],
  ["a line in the middle", ["a", "c"], ["a", "b", "c"], ["+b"]],
  ["a line less", ["a", "b", "c"], ["a", "c"], ["-b"]],
  ["another line", ["a", "b", "c"], ["a", "x", "c"], ["-b", "+x"]],
  ["from nothing", [], ["a"], ["+a"]],
  ["a line twice", ["a", "b", "a"], ["a", "a"], ["-b"]],
])("the difference of two texts: %s", (_, before, after, expected) => {
  expect(diffLines(before, after)).toEqual(expected);
});

const report: Document = {
  title: "The lab",
  intro: "With `code`.",
  sections: [
    {
      title: "Task 5: <nodes>",
      blocks: [
        { kind: "heading", text: "What changed" },
        { kind: "text", text: "Run `docker ps`." },
        { kind: "list", items: ["one", "two"] },
        { kind: "table", header: ["node"], rows: [["s1|<b>*"], ["s2"]] },
        { kind: "diff", title: "haproxy.cfg", lines: ["+  server s1", "-<x>", " same"] },
        { kind: "image", file: "logs/task 5/stats.png", title: "Stats page" },
        { kind: "files", files: ["logs/task 5/ha.log"] },
        { kind: "question", name: "M1", text: "Why?" },
      ],
    },
  ],
};

test("a report as Markdown", () => {
  expect(toMarkdown(report)).toBe(`# The lab

With \`code\`.

## Task 5: <nodes>

### What changed

Run \`docker ps\`.

- one
- two

| node |
| --- |
| s1\\|\\<b\\>\\* |
| s2 |

haproxy.cfg:

\`\`\`diff
+  server s1
-<x>
 same
\`\`\`

![Stats page](../logs/task%205/stats.png)

- [logs/task 5/ha.log](../logs/task%205/ha.log)

> **M1** Why?

✍ **Your answer:**

…
`);
});

test("a report as a page that holds its images", () => {
  const page = toHtml(report, (file) => Buffer.from(`content of ${file}`));
  const body = page.slice(page.indexOf("<section"), page.indexOf("</body>")).trim().split("\n");
  const image = Buffer.from("content of logs/task 5/stats.png").toString("base64");
  expect(body).toEqual([
    '<section id="s0"><h2>Task 5: &#60;nodes&#62;</h2>',
    "<h3>What changed</h3>",
    "<p>Run <code>docker ps</code>.</p>",
    "<ul><li>one</li><li>two</li></ul>",
    '<div class="wide"><table><thead><tr><th>node</th></tr></thead><tbody>' +
      "<tr><td>s1|&#60;b&#62;*</td></tr><tr><td>s2</td></tr></tbody></table></div>",
    "<figure><figcaption>haproxy.cfg</figcaption><pre>" + '<span class="plus">+  server s1</span>',
    '<span class="minus">-&#60;x&#62;</span>',
    " same</pre></figure>",
    '<figure><figcaption><a href="../logs/task%205/stats.png">Stats page</a></figcaption>' +
      `<div class="wide"><img src="data:image/png;base64,${image}" alt="Stats page"></div></figure>`,
    '<ul><li><a href="../logs/task%205/ha.log">logs/task 5/ha.log</a></li></ul>',
    '<div class="question"><p><strong>M1</strong> Why?</p><small>Your answer, in report.md</small></div></section>',
  ]);
  expect(page.match(/(?:src|href)="(?!data:|#|\.\.\/logs\/)[^"]*"/g)).toBeNull();
});

test("a path becomes a link from the report's folder", () => {
  expect(linkTo("logs/task 5/a#b.txt")).toBe("../logs/task%205/a%23b.txt");
});

test("containers are listed as docker ps does", () => {
  const ports = [
    { IP: "127.0.0.1", PublicPort: 8081, PrivatePort: 1936, Type: "tcp" },
    { IP: "127.0.0.1", PublicPort: 8080, PrivatePort: 80, Type: "tcp" },
  ];
  const info = (name: string, Ports: object[] = []) =>
    ({
      Id: `${name}23456789abcdef`,
      Names: [`/x-${name}`],
      Image: "sha256:0123456789abcdef",
      Command: "s6-svscan /etc/s6",
      Created: 100,
      Status: "Up 3 seconds",
      Ports,
    }) as unknown as Docker.ContainerInfo;
  expect(formatContainers([info("s1"), info("ha", ports)], 112_400)).toBe(
    [
      "CONTAINER ID  IMAGE         COMMAND              CREATED         STATUS        PORTS                                             NAMES",
      'ha23456789ab  0123456789ab  "s6-svscan /etc/s6"  12 seconds ago  Up 3 seconds  127.0.0.1:8080->80/tcp, 127.0.0.1:8081->1936/tcp  x-ha',
      's123456789ab  0123456789ab  "s6-svscan /etc/s6"  12 seconds ago  Up 3 seconds                                                    x-s1',
      "",
    ].join("\n"),
  );
});

const node = (name: string) => ({ name, address: "10.0.0.11", port: 3000 });
const member = (name: string, status: "alive" | "left" = "alive") =>
  ({ name, status }) as NonNullable<ClusterView["members"]>[number];
const server = (name: string, check = "L7OK") =>
  ({ ...node(name), status: "UP", check, checking: false }) as const;
const whole: ClusterView = {
  declared: [node("s1"), node("s2")],
  members: [member("ha"), member("s1"), member("s2", "left")],
  nodes: [node("s1")],
  file: [node("s1")],
  servers: [server("s1")],
};

test.each([
  ["all have it", whole, true],
  ["gossip lacks it", { ...whole, members: [member("ha")] }, false],
  ["gossip has another", { ...whole, members: [member("ha"), member("s1"), member("s2")] }, false],
  ["no gossip", { ...whole, members: undefined }, false],
  ["/nodes has another", { ...whole, nodes: [node("s1"), node("s2")] }, false],
  ["haproxy.cfg lacks it", { ...whole, file: [] }, false],
  ["its check has not passed", { ...whole, servers: [server("s1", "L4CON")] }, false],
])("a lab with s1 alone is settled when %s: %#", (_, cluster, expected) => {
  expect(isSettled(cluster, "ha", ["s1"])).toBe(expected);
});

test("a node's start is read out of the logs", () => {
  const balancer = [
    { at: 1000, text: "serf: agent: Received event: query: announce" },
    { at: 2300, text: "serf: agent: Received event: query: announce" },
    { at: 2800, text: "serf: agent: Received event: query: announce" },
  ];
  const log = [
    { at: 900, text: "app: GET / 200 1.0 ms" },
    { at: 2600, text: "app: s1 listens on port 3000" },
    { at: 2900, text: "app: GET / 200 5.3 ms" },
  ];
  const started = 2000;
  const expected = { node: "s1", started, announced: 2300, answered: 2900 };
  expect(findStart("s1", started, balancer, log)).toEqual(expected);
  expect(findStart("s1", started, [], [])).toEqual({ node: "s1", started });
});

test("serf.log is read as cells, from a time on", () => {
  const log = [
    '2026-11-25T10:00:00Z member-join name="s1" address="10.0.0.11" role="backend" boot="1"',
    '2026-11-25T10:00:05Z announce name="s2" address="10.0.0.12" role="backend" boot="2"',
    "not a line of the handler",
    "",
  ].join("\n");
  expect(parseSerfLog(log, Date.parse("2026-11-25T10:00:05.900Z"))).toEqual([
    ["2026-11-25T10:00:05Z", "announce", "s2", "backend"],
  ]);
});

const walked: TaskRecord = {
  task: TASKS[2],
  done: ["`docker start s1`"],
  snapshots: [
    { step: "ha alone", members: ["ha"], nodes: [], serving: [], config: "a\nb" },
    { step: "ha, s1", members: ["ha", "s1"], nodes: ["s1.yaml"], serving: ["s1"], config: "a\nc" },
    { step: "again", members: ["ha", "s1"], nodes: ["s1.yaml"], serving: ["s1"], config: "a\nc" },
  ],
  starts: [{ node: "s1", started: 1000, announced: 1500, answered: 1750 }],
  findings: [],
  images: [{ file: "logs/task 2/stats.png", title: "Stats page" }],
  files: ["logs/task 2/stats.png"],
};

test("a task's section says what was asked, done, changed and what is still to answer", () => {
  const { asked, questions } = TASKS[2];
  expect(describeTask(walked)).toEqual({
    title: "Task 2: Membership by gossip",
    blocks: [
      { kind: "heading", text: "Asked" },
      { kind: "text", text: asked },
      { kind: "heading", text: "Done" },
      { kind: "list", items: ["`docker start s1`"] },
      { kind: "heading", text: "What changed" },
      {
        kind: "table",
        header: ["step", "members", "/nodes", "serving"],
        rows: [
          ["ha alone", "ha", "none", "none"],
          ["ha, s1", "ha, s1", "s1.yaml", "s1"],
          ["again", "ha, s1", "s1.yaml", "s1"],
        ],
      },
      {
        kind: "diff",
        title: "ha alone → ha, s1",
        lines: [" /nodes", "+s1.yaml", " haproxy.cfg", "-b", "+c"],
      },
      { kind: "text", text: "ha, s1 → again: neither `/nodes` nor `haproxy.cfg` changed." },
      {
        kind: "table",
        header: ["node", "start → announce", "announce → first request", "start → first request"],
        rows: [["s1", "0.50 s", "0.25 s", "0.75 s"]],
      },
      { kind: "heading", text: "Evidence" },
      { kind: "image", file: "logs/task 2/stats.png", title: "Stats page" },
      { kind: "files", files: ["logs/task 2/stats.png"] },
      { kind: "heading", text: "Questions" },
      ...questions.map((question) => ({ kind: "question", ...question })),
    ],
  });
});

test("the course's questions are all there, and counted", () => {
  expect(TASKS.map(({ questions }) => questions.map(({ name }) => name))).toEqual([
    ["M1", "M2", "M3", "M4", "M5", "M6"],
    ["Task 1"],
    ["Task 2a", "Task 2b", "Task 2c"],
    [],
    ["Task 4a", "Task 4b", "Task 4c", "Task 4d"],
    [],
    ["Task 6a", "Task 6b"],
  ]);
  const { intro, sections } = describeWalk([walked], new Date("2026-11-25T10:00:00Z"));
  expect(sections).toEqual([describeTask(walked)]);
  expect(intro).toBe(
    "Collected by `npm run report` on 2026-11-25, on a lab of its own. " +
      "The 3 places marked “Your answer” in `report.md` are yours: write there in your own words.",
  );
});

test("no password and no hash of one stays in haproxy.cfg", () => {
  const config = [
    "userlist people",
    "  user admin password $5$salt$hash groups all",
    "  user other insecure-password open",
    "  stats auth admin:open",
    "  stats uri /",
  ].join("\n");
  expect(withoutPasswords(config)).toBe(
    [
      "userlist people",
      "  user admin password (left out) groups all",
      "  user other insecure-password (left out)",
      "  stats auth (left out)",
      "  stats uri /",
    ].join("\n"),
  );
});

test("without a browser, and no way to install one, the package is named", async () => {
  const { PATH } = process.env;
  process.env.PATH = "/nowhere";
  try {
    const expected =
      "Browser: none of chromium, chromium-browser, google-chrome, google-chrome-stable is on PATH; " +
      "install one, on Debian with: apt-get install chromium";
    await expect(complete(browserStep, () => undefined)).rejects.toThrow(expected);
  } finally {
    process.env.PATH = PATH;
  }
});

describe("the folders in the making", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "report-"))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test("come to their place all at once", () => {
    const output = new Output(folder);
    expect(output.save("logs/task 0/a.txt", "text")).toBe("logs/task 0/a.txt");
    output.save("report/report.md", "# Report");
    expect(output.read("logs/task 0/a.txt").toString()).toBe("text");
    expect(readdirSync(folder)).toEqual([`.report-${process.pid}`]);
    output.publish();
    expect(readdirSync(folder).sort()).toEqual(["logs", "report"]);
    expect(readdirSync(join(folder, "logs", "task 0"))).toEqual(["a.txt"]);
  });

  test("leave nothing when they are given up", () => {
    const output = new Output(folder);
    output.save("report/report.md", "# Report");
    output.discard();
    expect(readdirSync(folder)).toEqual([]);
  });

  test("do not replace what is there, also when it came meanwhile", () => {
    mkdirSync(join(folder, "logs"));
    const rest =
      "move away what is there, or name another folder with: npm run report -- --out DIR";
    expect(() => new Output(folder)).toThrow(`${folder}/logs exists already; ${rest}`);
    rmSync(join(folder, "logs"), { recursive: true });
    const output = new Output(folder);
    for (const name of ["logs", "report"]) mkdirSync(join(folder, name));
    expect(() => output.publish()).toThrow(
      `${folder}/logs and ${folder}/report exist already; ${rest}`,
    );
  });

  test("need a folder", () => {
    const missing = join(folder, "missing");
    const make = () => new Output(missing);
    expect(make).toThrow(new UsageError(`--out: got ${missing}, expected a folder`));
    expect(make).toThrow(UsageError);
    expect(existsSync(missing)).toBe(false);
  });

  // Root may write everywhere.
  const testAsUser = process.getuid?.() === 0 ? test.skip : test;
  testAsUser("need a folder that can be written to", () => {
    chmodSync(folder, 0o500);
    const expected = `--out: got ${folder}, expected a folder that can be written to (EACCES)`;
    expect(() => new Output(folder)).toThrow(expected);
  });
});
