import { checkout } from "../../cli/setup/places";
import { renderBoth } from "../../cli/review/offline";
import { previewOnBase } from "../../cli/review/preview";
import { place, restore, type Place, type Values } from "../../cli/review/config";
import { describeReview, differs, summarize, type Findings } from "../../cli/review/markdown";
import { renderFor } from "../support/golden";
import { LAB, SWARM_LAB } from "../support/labConfig";

const TICKS = "```";

const findings: Findings = {
  base: { name: "main", commit: "0123456789abcdef0123456789abcdef01234567" },
  head: { name: "this checkout" },
  config: { before: "a\nb\nc\n", after: "a\nb\nc\n  server s3\n" },
  preview: {
    steps: [
      { op: "update", name: "haproxy.cfg", type: "lab:index:HaproxyConfig", replacedFor: [] },
      {
        op: "replace",
        name: "ha",
        type: "docker:index/container:Container",
        replacedFor: ["image"],
      },
      { op: "create", name: "s3", type: "docker:index/container:Container", replacedFor: [] },
    ],
    unchanged: 1,
    text: "+ docker:index/container:Container: (create)",
  },
};

test("a comment has the summary, the diff of haproxy.cfg, the resources, why, and the preview folded", () => {
  expect(describeReview(findings)).toBe(`<!-- npm run review -->
### 1 to create, 1 to update, 1 to replace, 1 unchanged; haproxy.cfg +1 −0 lines

\`this checkout\` against \`main\` (0123456789ab)

#### haproxy.cfg

${TICKS}diff
@@ -1,3 +1,4 @@
 a
 b
 c
+  server s3
${TICKS}

#### Resources

| operation | resource | type |
| --- | --- | --- |
| create | \`s3\` | \`docker:index/container:Container\` |
| update | \`haproxy.cfg\` | \`lab:index:HaproxyConfig\` |
| replace | \`ha\` | \`docker:index/container:Container\` |

#### Replaced, and why

- \`ha\`: \`image\`

<details><summary>The whole preview</summary>

${TICKS}diff
+ docker:index/container:Container: (create)
${TICKS}

</details>
`);
});

const same = { before: "a\n", after: "a\n" };
test.each<[string, Partial<Findings>, boolean, string]>([
  [
    "nothing",
    { config: same, preview: { steps: [], unchanged: 1, text: "" } },
    false,
    "1 unchanged; haproxy.cfg unchanged",
  ],
  ["offline, the same text", { config: same, preview: undefined }, false, "haproxy.cfg unchanged"],
  ["offline, another text", { preview: undefined }, true, "haproxy.cfg +1 −0 lines"],
  [
    "a resource alone",
    { config: same, preview: { ...findings.preview!, steps: [findings.preview!.steps[1]] } },
    true,
    "1 to replace, 1 unchanged; haproxy.cfg unchanged",
  ],
])("whether anything differs, in one line: %s", (_what, part, expected, line) => {
  expect(differs({ ...findings, ...part })).toBe(expected);
  expect(summarize({ ...findings, ...part })).toBe(line);
});

test.each([
  [
    "the folded preview",
    { ...findings, preview: { ...findings.preview!, text: "+ line\n".repeat(20_000) } },
  ],
  ["the diff", { ...findings, config: { before: "", after: "a server line\n".repeat(20_000) } }],
])("what does not fit is cut with a word, and every block is closed: %s", (_what, long) => {
  const text = describeReview(long);
  expect(text.length).toBeLessThanOrEqual(65_536);
  expect(text.length).toBeGreaterThan(65_000);
  expect(text).toContain("… cut here, since a comment holds no more; the command prints the rest");
  expect((text.match(/^`{3,}/gm) ?? []).length % 2).toBe(0);
  expect(text.split("<details>").length).toBe(text.split("</details>").length);
});

test("a text with fences gets a longer one", () => {
  const text = describeReview({
    ...findings,
    preview: { ...findings.preview!, text: "a\n```\nb" },
  });
  expect(text).toContain("````diff\na\n```\nb\n````");
});

const at = (i: number): Place => ({
  ...{ namePrefix: `review${i}-`, subnet: `10.213.${i}.0/24`, httpPort: 21_000 + 100 * i },
  ...{ statsPort: 21_001 + 100 * i, adminPort: 21_002 + 100 * i, nodePorts: 21_005 + 100 * i },
  ...{ secondStatsPort: 21_003 + 100 * i, secondAdminPort: 21_004 + 100 * i },
});
const values: Values = {
  ...{ nodeCount: 2, namePrefix: "", subnet: "192.168.42.0/24", publishAddress: "0.0.0.0" },
  ...{ adminAddress: "127.0.0.1", httpPort: 80, statsPort: 1936, adminPort: 9999, nodePorts: 4000 },
  ...{ secondStatsPort: 1937, secondAdminPort: 9998 },
};

test("what both versions place alike stays alike; what differs differs here too", () => {
  const base = place(values, at(1), values, at(1));
  expect(base).toEqual({
    ...values,
    ...at(1),
    publishAddress: "127.0.0.1",
    adminAddress: "127.0.0.1",
  });
  const changed = {
    ...values,
    nodeCount: 3,
    httpPort: 8080,
    nodePorts: 0,
    publishAddress: "10.0.0.1",
  };
  expect(place(changed, at(2), values, at(1))).toEqual({
    ...base,
    nodeCount: 3,
    httpPort: 21_200,
    nodePorts: 0,
    publishAddress: "127.0.0.2",
  });
});

test("a secret is another one where its ciphertext is", () => {
  const placed = (secure: string) =>
    place({ ...values, statsPassword: { secure } }, at(1), values, at(1)).statsPassword;
  expect(placed("v1:a:b")).toEqual(placed("v1:a:b"));
  expect(placed("v1:a:b")).not.toEqual(placed("v1:a:c"));
  expect(JSON.stringify(placed("v1:a:b"))).not.toContain("v1:a:b");
});

test("the preview is told with the names, addresses and ports of the lab itself", () => {
  const placed = place(values, at(1), values, at(1));
  const text = "review1-s1 at 10.213.1.11:3000, 10.214.1.11, ports 21100 and 21101, 10.213.1.999";
  expect(restore(text, values, placed)).toBe(
    "s1 at 192.168.42.11:3000, 10.214.1.11, ports 80 and 1936, 10.213.1.999",
  );
});

test("what is for a Swarm is refused, with what compares it, before anything is made", async () => {
  const source = (name: string, orchestrator?: string) => ({
    ...{ name, folder: "/nowhere", values: { ...LAB, orchestrator } },
  });
  const sources = { base: source("main"), head: source("HEAD", "swarm"), folder: "/nowhere" };
  await expect(previewOnBase(sources, () => undefined)).rejects.toThrow(
    /^orchestrator: got "swarm" in HEAD, expected docker: .*; --offline compares haproxy\.cfg$/,
  );
});

test.each([LAB, SWARM_LAB])(
  "without an engine each version's own code renders its text ($orchestrator)",
  async (lab) => {
    const source = (nodeCount: number) => {
      const config = { ...lab, nodeCount };
      return { name: `${nodeCount} nodes`, folder: checkout, values: config };
    };
    const { config } = await renderBoth({ base: source(2), head: source(3), folder: checkout });
    const rendered = (nodeCount: number) => renderFor({ ...lab, nodeCount });
    expect(config).toEqual({ before: rendered(2), after: rendered(3) });
  },
);
