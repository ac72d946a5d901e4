import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runAside } from "../../cli/runPulumi";
import { poll } from "../../time/poll";

const node = (script: string) => [process.execPath, "--eval", script];

test("what a program prints is given: its standard output, or, when it fails, all", async () => {
  const script = 'console.log("out"); console.error("err");';
  expect(await runAside(node(script))).toBe("out\n");
  const failing = runAside(node(`${script} process.exitCode = 3`));
  await expect(failing).rejects.toThrow(/^(out\nerr|err\nout)$/);
  await expect(runAside(["false"])).rejects.toThrow("false ended with 1");
});

test("an abort comes as SIGINT, the program winds up, and the reason is thrown", async () => {
  const folder = mkdtempSync(join(tmpdir(), "aside-"));
  const file = join(folder, "said");
  const script = `
    const { writeFileSync } = require("node:fs");
    const end = () => { writeFileSync(${JSON.stringify(file)}, "wound up"); process.exit(); };
    process.on("SIGINT", () => setTimeout(end, 50));
    setInterval(() => {}, 1000);
    writeFileSync(${JSON.stringify(file)}, "ready");`;
  const interruption = new AbortController();
  const { signal } = interruption;
  const reason = new Error("told to end");
  const running = runAside(node(script), { signal });
  await poll(async () => existsSync(file), Boolean, { everyMs: 10, withinMs: 10_000 });
  interruption.abort(reason);
  await expect(running).rejects.toBe(reason);
  expect(readFileSync(file, "utf8")).toBe("wound up");
  await expect(runAside(["true"], { signal })).rejects.toBe(reason);
  rmSync(folder, { recursive: true });
}, 20_000);
