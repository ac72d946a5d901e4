import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readNodes, writeNodes } from "../../configurator/nodesFolder";

const node = (i: number) => ({ name: `s${i}`, address: `10.0.0.${i}`, port: 3000 });

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "nodes-"))));
afterEach(() => rmSync(folder, { recursive: true }));

test("one file a node, read back in natural order", async () => {
  await writeNodes(folder, [node(10), node(2)]);
  expect(readdirSync(folder).sort()).toEqual(["s10.yaml", "s2.yaml"]);
  expect(readFileSync(join(folder, "s2.yaml"), "utf8")).toBe(
    "name: s2\naddress: 10.0.0.2\nport: 3000\n",
  );
  expect(await readNodes(folder)).toEqual([node(2), node(10)]);
});

test("what is right stays, what is gone or foreign goes", async () => {
  await writeNodes(folder, [node(1), node(2)]);
  const { ino } = statSync(join(folder, "s1.yaml"));
  writeFileSync(join(folder, "stray.candidate"), "half");
  await writeNodes(folder, [node(1), node(3)]);
  expect(readdirSync(folder).sort()).toEqual(["s1.yaml", "s3.yaml"]);
  expect(statSync(join(folder, "s1.yaml")).ino).toBe(ino);
});

test("a file that is no node is left out and named", async () => {
  await writeNodes(folder, [node(1), node(2), node(3)]);
  writeFileSync(join(folder, "s1.yaml"), "name: s1\naddress: nowhere\nport: 3000\n");
  writeFileSync(join(folder, "s3.yaml"), "name: s4\naddress: 10.0.0.4\nport: 3000\n");
  const complaints: string[] = [];
  expect(await readNodes(folder, (line) => complaints.push(line))).toEqual([node(2)]);
  expect(complaints.sort()).toEqual([
    `${join(folder, "s1.yaml")}: node s1: address "nowhere" is not an IPv4 address`,
    `${join(folder, "s3.yaml")}: it is of node s4`,
  ]);
});

test("a file that can't be written leaves all files as they were", async () => {
  await writeNodes(folder, [node(1), node(2)]);
  const before = readdirSync(folder).map((file) => [
    file,
    readFileSync(join(folder, file), "utf8"),
  ]);
  const moved = { ...node(1), port: 3001 };
  // The last candidate's name is too long for a file.
  const last = { ...node(9), name: "s".repeat(250) };
  await expect(writeNodes(folder, [moved, node(3), last])).rejects.toThrow("ENAMETOOLONG");
  const after = readdirSync(folder).map((file) => [file, readFileSync(join(folder, file), "utf8")]);
  expect(after).toEqual(before);
});

test.each([
  ["a folder", "s1.yaml", (path: string) => mkdirSync(join(path, "x"), { recursive: true })],
  ["a FIFO", "s1.yaml", (path: string) => execFileSync("mkfifo", [path])],
  ["a link to a device", "s1.yaml", (path: string) => symlinkSync("/dev/zero", path)],
  [
    "a folder",
    "s1.yaml.candidate",
    (path: string) => mkdirSync(join(path, "x"), { recursive: true }),
  ],
  ["a FIFO", "s1.yaml.candidate", (path: string) => execFileSync("mkfifo", [path])],
])("%s in the place of %s is left out and replaced", async (_what, file, make) => {
  make(join(folder, file));
  expect(await readNodes(folder)).toEqual([]);
  await writeNodes(folder, [node(1)]);
  expect(await readNodes(folder)).toEqual([node(1)]);
  expect(readdirSync(folder)).toEqual(["s1.yaml"]);
});
