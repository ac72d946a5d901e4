import { execFileSync } from "node:child_process";
import { resolve } from "node:path";

/** What a process prints that has loaded the program as Pulumi does. */
function withProgram(script: string): string {
  const load = `require("./program.cjs"); const sdk = require("@pulumi/pulumi");`;
  const cwd = resolve(__dirname, "../..");
  const args = ["--eval", `${load} ${script}`];
  return execFileSync(process.execPath, args, { cwd, encoding: "utf8", stdio: "pipe" });
}

test("the program loads neither TypeScript nor npm's resolver of packages", () => {
  const script = `console.log(Object.keys(require.cache).some((file) =>
    /node_modules.(typescript|@npmcli.arborist)./.test(file)))`;
  expect(withProgram(script)).toBe("false\n");
});

test("the SDK's part that needs them is loaded when it is called", () => {
  const script = `sdk.runtime.serializeFunction(() => 42).then(({ text }) => {
    console.log(/return 42|\\(\\) => 42/.test(text), typeof sdk.runtime.serializeFunctionAsync);
  })`;
  expect(withProgram(script)).toBe("true function\n");
});
