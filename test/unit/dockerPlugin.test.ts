import { mkdirSync, mkdtempSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type * as places from "../../cli/setup/places";
import type * as setup from "../../cli/setup/dockerPlugin";

let folder: string;
let offline: string;
let official: string;
let plugin: typeof setup;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "plugin-test-"));
  jest.resetModules();
  const actual = jest.requireActual<typeof places>("../../cli/setup/places");
  offline = join(actual.checkout, "providers/docker/pulumi-resource-docker");
  official = join(folder, "plugins/resource-docker-v5.2.0/pulumi-resource-docker");
  jest.doMock("../../cli/setup/places", () => ({
    ...actual,
    toolchain: join(folder, "toolchain"),
    pluginsFolder: join(folder, "plugins"),
  }));
  plugin = jest.requireActual<typeof setup>("../../cli/setup/dockerPlugin");
});
afterEach(() => rmSync(folder, { recursive: true }));

const target = () => readlinkSync(join(folder, "toolchain/docker/pulumi-resource-docker"));
const retry = "`npm run setup -- --retry-downloads` asks again";

async function useOffline(): Promise<void> {
  await (await plugin.dockerPlugin.ways())[1].run();
}

function installOfficial(): void {
  mkdirSync(dirname(official), { recursive: true });
  writeFileSync(official, "");
}

test("without either there is something to do", async () => {
  expect(await plugin.dockerPlugin.check()).toBeUndefined();
});

test("the offline provider is used, and remembered until the download is to be tried again", async () => {
  await useOffline();
  expect(target()).toBe(offline);
  expect(await plugin.dockerPlugin.check()).toBe(`offline provider of this checkout (${retry})`);
  plugin.forgetOfflinePlugin();
  expect(await plugin.dockerPlugin.check()).toBeUndefined();
});

test("the official plugin wins, unless it is not wholly there", async () => {
  await useOffline();
  installOfficial();
  const partial = `${dirname(official)}.partial`;
  writeFileSync(partial, "");
  expect(await plugin.dockerPlugin.check()).toBe(`offline provider of this checkout (${retry})`);
  rmSync(partial);
  expect(await plugin.dockerPlugin.check()).toBe(`official 5.2.0, ${join(folder, "plugins")}`);
  expect(target()).toBe(official);
});

test("an official plugin that was removed is to be installed again", async () => {
  installOfficial();
  await plugin.dockerPlugin.check();
  rmSync(official);
  expect(await plugin.dockerPlugin.check()).toBeUndefined();
});
