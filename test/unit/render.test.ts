import { readFileSync } from "node:fs";
import { planTopology } from "../../config/topology";
import { renderHaproxyConfig, renderUsers, sortNodes } from "../../haproxy/render";
import { GOLDEN_COUNTS, goldenFile, renderFor } from "../support/golden";
import { LAB } from "../support/labConfig";

const [{ proxy }] = planTopology(LAB).balancers;
const node = (name: string) => ({ name, address: "10.20.30.11", port: 3000 });

test.each(GOLDEN_COUNTS)("%i nodes render as the golden file", (nodeCount) => {
  const golden = readFileSync(goldenFile(nodeCount), "utf8");
  expect(renderFor({ ...LAB, nodeCount })).toBe(golden);
});

test("one more node is one more line, the last", () => {
  const [two, three] = [2, 3].map((nodeCount) => renderFor({ ...LAB, nodeCount }));
  expect(three.slice(0, two.length)).toBe(two);
  expect(three.slice(two.length)).toBe(
    "  server s3 10.20.30.13:3000 guid s3 check inter 500 fastinter 100 downinter 100" +
      " fall 2 rise 1 observe layer4 error-limit 3 on-error sudden-death\n",
  );
});

test("up to 99 nodes in the default subnet, no line is cut in a Pulumi diff, which ends at 150 characters", () => {
  const lines = renderFor({ ...LAB, nodeCount: 99, subnet: "192.168.42.0/24" }).split("\n");
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(150);
});

test("nodes are ordered as a person counts", () => {
  const names = sortNodes(["s10", "s2", "s1"].map(node)).map(({ name }) => name);
  expect(names).toEqual(["s1", "s2", "s10"]);
});

test("without sticky sessions there is no cookie", () => {
  expect(renderFor({ ...LAB, stickySessions: false })).not.toContain("cookie");
});

test("a statistics' password adds the question for it, and nothing of it", () => {
  const lines = (statsPassword: string) => renderFor({ ...LAB, statsPassword }).split("\n");
  const without = lines("");
  expect(lines("correct horse").filter((line) => !without.includes(line))).toEqual([
    "  # The user and the password's hash are in users.cfg, which only HAProxy's user can read.",
    "  http-request auth realm statistics unless { http_auth(statistics) }",
  ]);
});

const HASH = `$2b$06$${"./aZ09".repeat(9).slice(1)}`;

test("users.cfg has the statistics' user, or none", () => {
  expect(renderUsers(undefined)).toBe("userlist statistics\n");
  expect(renderUsers(HASH)).toBe(`userlist statistics\n  user admin password ${HASH}\n`);
});

test.each(["", "correct horse", `${HASH}\n`, `${HASH}\n  user x insecure-password x`])(
  "%j is no hash",
  (hash) => {
    expect(() => renderUsers(hash)).toThrow(
      new Error("statsPasswordHash: expected a bcrypt hash ($2b$)"),
    );
  },
);

test.each([
  ["{{#each nodes}}", /Parse error/],
  ["{{settings.prots}}", /"prots" not defined/],
])("the template %j is an error", (template, message) => {
  expect(() => renderHaproxyConfig(template, proxy, [node("s1")])).toThrow(message);
});
