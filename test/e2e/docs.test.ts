/**
 * Every command that README.md and docs/lab.md show, typed in their order in a copy of this checkout,
 * with the copy's names and ports in place of the default lab's.
 */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { findFreePorts, findFreeSubnet } from "../../preflight/freePlaces";
import { engine, LabCheckout } from "../support/checkout";
import { LONG } from "../support/long";

jest.setTimeout(900_000);

/** Tested by files of their own, or by being run right now. */
const ELSEWHERE = [
  ...["npm run machines", "npm run report", "npm run setup", "npm run test:unit", "npm test"],
];

/** What a look may answer beside 0: right after a change `status` says that something disagrees. */
const ANSWERS: Record<string, number[]> = { "npm run status": [0, 1] };

let lab: LabCheckout;
let second: Record<string, string | number>;
beforeAll(async () => {
  lab = await LabCheckout.create("e2e-docs");
  await lab.succeed("stack", "select", lab.stack);
  const { httpPort, statsPort, adminPort, nodePorts } = await findFreePorts("e2e-docs2");
  const subnet = await findFreeSubnet(engine, "e2e-docs2");
  second = { namePrefix: "e2e-docs2-", subnet, httpPort, statsPort, adminPort, nodePorts };
});
afterAll(async () => {
  await type("npm run clean -- --stack second");
  await lab.remove();
});

/** The lines of the shell blocks; a script that is shown as a file is none. */
function commandsIn(file: string): string[] {
  const blocks = readFileSync(file, "utf8").matchAll(/^```sh\n([^]*?)^```/gm);
  return [...blocks]
    .map(([, block]) => block)
    .filter((block) => !block.startsWith("#!"))
    .flatMap((block) => block.trim().split("\n"))
    .filter((line) => !ELSEWHERE.some((command) => line.startsWith(command)));
}

/** The same command for the copy: nobody is there to answer Pulumi, and npx would find the original. */
function adapt(line: string): string {
  const { namePrefix, httpPort, statsPort, nodePorts } = lab.config;
  const names = (text: string) => text.replace(/\b(ha|s\d+)\b/g, `${namePrefix}$1`);
  return line
    .replaceAll(/npx pulumi (up|destroy)/g, "npx pulumi $1 --yes --skip-preview")
    .replaceAll("npx pulumi", "cli/pulumi/pulumi --non-interactive")
    .replace(/config set (\w+) (?!\d$)\S+$/, (_, key: string) => `config set ${key} ${second[key]}`)
    .replace(/docker (stop|start|restart|logs|inspect) .*?(?=$| \|)/, names)
    .replace(/docker exec (-u \w+ )?\S+/, names)
    .replace("lab-webapp:dev", `${namePrefix}lab-webapp:${lab.stack}`)
    .replace("127.0.0.1:1936", `127.0.0.1:${statsPort}`)
    .replace("127.0.0.1:4000", `127.0.0.1:${nodePorts}`)
    .replace("http://127.0.0.1/", `http://127.0.0.1:${httpPort}/`);
}

function type(line: string): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const options = { cwd: lab.folder, maxBuffer: 2 ** 26 };
    execFile(
      "bash",
      ["-c", `set -o pipefail; ${adapt(line)}`],
      options,
      (error, stdout, stderr) => {
        const code = error ? Number((error as { code?: number }).code ?? 1) : 0;
        resolve({ code, output: `${stdout}${stderr}` });
      },
    );
  });
}

/** @throws with what a command said that did not end as it should */
async function typeAll(file: string): Promise<void> {
  const commands = commandsIn(join(lab.folder, file));
  expect(commands.length).toBeGreaterThan(10);
  for (const line of commands) {
    const { code, output } = await type(line);
    const isExpected = (ANSWERS[line] ?? [0]).includes(code);
    expect({ line, code, output: isExpected ? "" : output }).toEqual({ line, code, output: "" });
  }
}

(LONG ? test : test.skip)("docs/lab.md", async () => {
  expect(await type("npm start")).toMatchObject({ code: 0 });
  await typeAll("docs/lab.md");
});

test("README.md", () => typeAll("README.md"));
