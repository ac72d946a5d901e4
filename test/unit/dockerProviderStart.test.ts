import { PassThrough } from "node:stream";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type Docker from "dockerode";
import { container } from "../../providers/docker/container";
import type { Context } from "../../providers/pluginServer";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** An engine with one container, which says nothing after its start. */
function silentEngine(): Docker {
  const info = { Id: "c1", Name: "/c1", State: { Running: true }, Config: {}, HostConfig: {} };
  const target = {
    id: "c1",
    inspect: () => Promise.resolve({ ...info, NetworkSettings: { Networks: {} } }),
  };
  return {
    createContainer: () => Promise.resolve(target),
    getContainer: () => target,
    getEvents: () => Promise.resolve(new PassThrough()),
  } as unknown as Docker;
}

test("a start ends also when garbage is collected meanwhile", async () => {
  const type = container(silentEngine);
  const { signal } = new AbortController();
  const context = { preview: false, signal, log: () => undefined } as unknown as Context;
  // What the program need not write is filled in by the check.
  const news = { name: "c1", image: "i" } as Parameters<typeof type.check>[0];
  const { inputs, failures } = await type.check(news, undefined, context);
  expect(failures).toEqual([]);
  const collecting = setInterval(collectGarbage, 10);
  try {
    expect(await type.create(inputs, context)).toMatchObject({ id: "c1" });
  } finally {
    clearInterval(collecting);
  }
});
