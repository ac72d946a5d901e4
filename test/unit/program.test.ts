import { execFileSync } from "node:child_process";
import { resolve } from "node:path";

/** What a process prints that has loaded the program as Pulumi does. */
function withProgram(script: string, env = {}): string {
  const load = `
    let sdk;
    require("./bundles/lightSdk.cjs").lighten(() => (sdk = require("@pulumi/pulumi")));
    require("./program.cjs");`;
  const cwd = resolve(__dirname, "../..");
  return execFileSync(process.execPath, ["--eval", `${load} ${script}`], {
    cwd,
    encoding: "utf8",
    stdio: "pipe",
    env: { ...process.env, ...env },
  });
}

test("the program loads neither TypeScript nor npm's resolver nor what runs the CLI or traces", () => {
  const script = `console.log(Object.keys(require.cache).filter((file) =>
    /node_modules.(typescript|@npmcli.arborist|execa|@opentelemetry.exporter-zipkin.build.src.zipkin)./.test(file)))`;
  expect(withProgram(script)).toBe("[]\n");
});

test("the SDK's parts that need them are loaded when they are used", () => {
  const script = `sdk.runtime.serializeFunction(() => 42).then(({ text }) => {
    console.log(/return 42|\\(\\) => 42/.test(text), typeof sdk.runtime.serializeFunctionAsync);
    console.log(typeof sdk.automation.LocalWorkspace.createStack);
  })`;
  expect(withProgram(script)).toBe("true function\nfunction\n");
});

test("a promise behind an output takes a stack trace only where leaks are looked for", () => {
  const script = `
    Error.stackTraceLimit = 5;
    const { debuggablePromise } = require("@pulumi/pulumi/runtime/debuggable");
    const promise = Promise.resolve();
    debuggablePromise(promise, "a test");
    console.log(/at .*eval/.test(promise._debugStackTrace), Error.stackTraceLimit)`;
  expect(withProgram(script)).toBe("false 5\n");
  expect(withProgram(script, { PULUMI_DEBUG_PROMISE_LEAKS: "true" })).toBe("true 5\n");
});
