/** `npm run review` on commits of a repository: a copy of this checkout with a history of its own. */
import { execFile, execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { engine, LabCheckout } from "../support/checkout";
import { LONG } from "../support/long";

jest.setTimeout(240_000);

let lab: LabCheckout;
beforeAll(async () => {
  lab = await LabCheckout.create("e2e-review");
  git("init", "--quiet", "--initial-branch=main");
  git("add", "--all");
  commit("base");
});
afterAll(() => lab.remove());

function git(...args: string[]): void {
  const who = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
  execFileSync("git", [...who, ...args], { cwd: lab.folder });
}

function commit(message: string): void {
  git("commit", "--quiet", "--all", "--message", message);
}

function edit(file: string, from: string, to: string): void {
  const path = join(lab.folder, file);
  const text = readFileSync(path, "utf8");
  expect(text).toContain(from);
  writeFileSync(path, text.replace(from, to));
}

interface Review {
  code: number;
  markdown: string;
  said: string;
}

async function review(...args: string[]): Promise<Review> {
  const command = ["--require", "tsx/cjs", "cli/review.ts", ...args];
  const options = { cwd: lab.folder, maxBuffer: 2 ** 26 };
  return promisify(execFile)(process.execPath, command, options).then(
    ({ stdout, stderr }) => ({ code: 0, markdown: stdout, said: stderr }),
    ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({
      ...{ code, markdown: stdout, said: stderr },
    }),
  );
}

const summaryOf = ({ markdown }: Review) => markdown.split("\n")[1];
const leftovers = async () => {
  const all = await engine.listContainers({ all: true });
  const networks = await engine.listNetworks();
  const images = await engine.listImages();
  return [
    ...all.flatMap(({ Names }) => Names),
    ...networks.map(({ Name }) => Name),
    ...images.flatMap(({ RepoTags }) => RepoTags ?? []),
  ].filter((name) => /^\/?review-/.test(name));
};

const changes: [
  what: string,
  change: () => void,
  code: number,
  summary: string,
  offline: string,
][] = [
  [
    "the number of nodes",
    () =>
      edit(
        "Pulumi.yaml",
        "nodeCount:\n    type: integer\n    default: 2",
        "nodeCount:\n    type: integer\n    default: 3",
      ),
    1,
    "### 1 to create, 1 to update, 17 unchanged; haproxy.cfg +1 −0 lines",
    "### haproxy.cfg +1 −0 lines",
  ],
  [
    "docs alone",
    () => edit("README.md", "# Docker and dynamic scaling", "# Docker, and dynamic scaling"),
    0,
    "### 18 unchanged; haproxy.cfg unchanged",
    "### haproxy.cfg unchanged",
  ],
  [
    "the template",
    () => edit("haproxy/haproxy.cfg.hbs", "timeout queue 5s", "timeout queue 6s"),
    1,
    "### 1 to update, 17 unchanged; haproxy.cfg +1 −1 lines",
    "### haproxy.cfg +1 −1 lines",
  ],
  [
    "the web application",
    () => edit("images/webapp/src/app.ts", 'hello: "world"', 'hello: "everybody"'),
    1,
    "### 4 to update, 2 to replace, 12 unchanged; haproxy.cfg unchanged",
    "### haproxy.cfg unchanged",
  ],
];

test.each(LONG ? changes : changes.slice(0, 1))(
  "%s",
  async (_what, change, code, summary, offline) => {
    git("checkout", "--quiet", "-B", "change", "main");
    change();
    commit("change");
    const online = await review("main", "--head", "change");
    expect([online.code, summaryOf(online)]).toEqual([code, summary]);
    expect(online.markdown).not.toContain("review-");
    const without = await review("main", "--head", "change", "--offline");
    expect([without.code, summaryOf(without)]).toEqual([
      offline.includes("unchanged") ? 0 : 1,
      offline,
    ]);
    expect(await leftovers()).toEqual([]);
  },
);

(LONG ? test : test.skip)("a version that does not deploy can't be told", async () => {
  git("checkout", "--quiet", "-B", "broken", "main");
  edit(
    "Pulumi.yaml",
    "nodeCount:\n    type: integer\n    default: 2",
    "nodeCount:\n    type: integer\n    default: 0",
  );
  commit("broken");
  const broken = await review("main", "--head", "broken");
  expect(broken.code).toBe(2);
  expect(broken.said).toContain("nodeCount");
  expect(await leftovers()).toEqual([]);
});

test("a commit that there is not can't be told", async () => {
  const unknown = await review("nosuch");
  expect(unknown).toEqual({
    code: 2,
    markdown: "",
    said: '\nBASE, --head: got "nosuch", expected a commit, branch or tag of this repository\n',
  });
});
