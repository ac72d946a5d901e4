import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isUnfinished, writeUsers } from "../../configurator/apply";
import { paths } from "../../configurator/paths";

jest.mock("../../configurator/paths", () => ({ paths: {} }));

const folder = mkdtempSync(join(tmpdir(), "apply-"));
Object.assign(paths, { users: join(folder, "users.cfg"), worker: join(folder, "worker") });
afterAll(() => rmSync(folder, { recursive: true }));

test("users.cfg is HAProxy's user's alone, and only another one makes a reload due", async () => {
  const isReloadDue = async (text: string) => {
    writeFileSync(paths.worker, "7 1");
    await writeUsers(text);
    expect(readFileSync(paths.users, "utf8")).toBe(text);
    expect(statSync(paths.users).mode & 0o777).toBe(0o600);
    return isUnfinished();
  };
  expect(await isReloadDue("userlist statistics\n")).toBe(true);
  expect(await isReloadDue("userlist statistics\n")).toBe(false);
  expect(await isReloadDue("userlist statistics\n  user admin password x\n")).toBe(true);
});
