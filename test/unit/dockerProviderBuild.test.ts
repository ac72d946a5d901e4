import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BinaryWriter } from "google-protobuf";
import { digestContext, packContext } from "../../providers/docker/buildContext";
import { BuildProgress } from "../../providers/docker/buildProgress";

describe("the digest of a build's files", () => {
  let folder: string;
  const file = (name: string) => join(folder, name);
  const digest = (dockerfile = "Dockerfile") =>
    digestContext({ folder, dockerfile: file(dockerfile) });

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "build-context-"));
    mkdirSync(file("docs"));
    for (const name of ["Dockerfile", "a.txt", "b.txt", "docs/c.md"]) {
      writeFileSync(file(name), name, { mode: 0o644 });
    }
    writeFileSync(file(".dockerignore"), "b.txt\ndocs\n!docs/c.md\n");
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  test.each<[string, () => void]>([
    ["content", () => writeFileSync(file("a.txt"), "other")],
    ["mode", () => chmodSync(file("a.txt"), 0o755)],
    ["name", () => renameSync(file("a.txt"), file("d.txt"))],
    ["new file", () => writeFileSync(file("new"), "")],
    ["new link", () => symlinkSync("a.txt", file("link"))],
    ["file that is wanted back", () => writeFileSync(file("docs/c.md"), "other")],
    ["Dockerfile", () => writeFileSync(file("Dockerfile"), "other")],
    ["rule", () => writeFileSync(file(".dockerignore"), "")],
  ])("changes with a %s", (_, change) => {
    const before = digest();
    change();
    expect(digest()).not.toBe(before);
  });

  test.each<[string, () => void]>([
    ["an ignored file", () => writeFileSync(file("b.txt"), "other")],
    ["a new file in an ignored folder", () => writeFileSync(file("docs/d.md"), "")],
    ["an empty folder", () => mkdirSync(file("empty"))],
  ])("does not change with %s", (_, change) => {
    const before = digest();
    change();
    expect(digest()).toBe(before);
  });

  test("follows the rules of the Dockerfile's own ignore file", () => {
    writeFileSync(file("Other"), "");
    writeFileSync(file("Other.dockerignore"), "a.txt");
    const before = digest("Other");
    writeFileSync(file("a.txt"), "other");
    expect(digest("Other")).toBe(before);
  });

  test.each([
    ["in the folder", "Dockerfile", "Dockerfile"],
    ["outside of it", "../Dockerfile", ".dockerfile.offline-provider"],
  ])("the archive has the files and the Dockerfile %s", (_, dockerfile, inside) => {
    const context = { folder: file("docs"), dockerfile: join(file("docs"), dockerfile) };
    writeFileSync(file("docs/Dockerfile"), "");
    const packed = packContext(context);
    expect(packed.dockerfile).toBe(inside);
    const archive = (packed.archive.read() as Buffer).toString("latin1");
    expect([archive.includes("c.md"), archive.includes(inside)]).toEqual([true, true]);
  });
});

test.each([
  ["base", "d3df1ee22faba4d8fe256f1d2d34196272bf8464d9ae693d6faee1a3a13e98cc"],
  ["child", "407909df0da479c13376652672f15081a9a18abf076682d7d4502dad87424a59"],
])("the digest of %s is the one that the official plugin recorded", (name, expected) => {
  const folder = mkdtempSync(join(tmpdir(), "build-context-"));
  const dockerfile = join(folder, "Dockerfile");
  copyFileSync(
    join(__dirname, "..", "support", "recorded", "images", name, "Dockerfile"),
    dockerfile,
  );
  // As it was when it was recorded; a checkout's modes follow the umask.
  chmodSync(dockerfile, 0o644);
  expect(digestContext({ folder, dockerfile })).toBe(expected);
  rmSync(folder, { recursive: true });
});

describe("the progress of a build", () => {
  const message = (fields: Record<number, string>) => (writer: BinaryWriter) => {
    for (const [field, value] of Object.entries(fields)) writer.writeString(Number(field), value);
  };
  const trace = (parts: [field: number, write: (writer: BinaryWriter) => void][]) => {
    const writer = new BinaryWriter();
    for (const [field, write] of parts) {
      const part = new BinaryWriter();
      write(part);
      writer.writeBytes(field, part.getResultBuffer());
    }
    const aux = Buffer.from(writer.getResultBuffer()).toString("base64");
    return { id: "moby.buildkit.trace", aux };
  };
  const started = { 1: "sha256:1", 3: "[1/2] RUN make", 5: "time" };

  test("shows each step once and what it prints", () => {
    const progress = new BuildProgress();
    const waiting = message({ 1: started[1], 3: started[3] });
    expect(progress.add(trace([[1, waiting]]))).toEqual([]);
    expect(progress.add(trace([[1, message(started)]]))).toEqual(["[1/2] RUN make"]);
    const log = message({ 1: "sha256:1", 4: "one\n\ntwo\n" });
    expect(
      progress.add(
        trace([
          [1, message(started)],
          [3, log],
        ]),
      ),
    ).toEqual(["one", "two"]);
    expect(progress.add({ id: "moby.image.id", aux: { ID: "sha256:image" } })).toEqual([]);
    expect(progress.expectImage("i")).toBe("sha256:image");
  });

  test("a failure names the step and the end of its output", () => {
    const progress = new BuildProgress();
    progress.add(trace([[1, message(started)]]));
    const output = Array.from({ length: 20 }, (_, index) => `line ${index}\n`).join("");
    progress.add(trace([[3, message({ 1: "sha256:1", 4: output })]]));
    progress.add(trace([[1, message({ ...started, 7: "exit code: 2" })]]));
    progress.add({ error: "exit code: 2" });
    const last = Array.from({ length: 15 }, (_, index) => `line ${index + 5}`).join("\n");
    expect(() => progress.expectImage("i")).toThrow(
      new Error(`build of i failed at [1/2] RUN make: exit code: 2\n${last}`),
    );
  });

  test("an answer without an image is a failure", () => {
    expect(() => new BuildProgress().expectImage("i")).toThrow(
      new Error("build of i failed: the engine gave no image"),
    );
  });
});
