/**
 * `npm run review -- BASE [--head REF] [--offline] [--output FILE]`: deploys the base commit in a
 * throw-away stack, previews the head there and writes Markdown that says what would change.
 */
import { writeFileSync } from "node:fs";
import { describeReview, differs, type Findings } from "./review/markdown";
import { renderBoth } from "./review/offline";
import { previewOnBase } from "./review/preview";
import { withSources, type Sources } from "./review/sources";
import { parseCommand, runCommand, UsageError } from "./command";

const USAGE = `npm run review -- BASE [--head REF] [--offline] [--output FILE]

Deploys commit BASE in a throw-away stack, previews the head there and writes what would change as
Markdown, to the standard output or to FILE.

  --head REF     the commit to look at; the files of this checkout as they are without it
  --offline      needs no engine: compares only what both make of haproxy.cfg
  --output FILE  where the Markdown goes

It ends with 0 if nothing would change, 1 if something would, 2 if that can't be told.`;

async function review(): Promise<number> {
  const { values, positionals } = parseCommand(USAGE, {
    options: { head: { type: "string" }, offline: { type: "boolean" }, output: { type: "string" } },
    allowPositionals: true,
  });
  const [base, ...others] = positionals;
  if (base === undefined || others.length > 0)
    throw new UsageError(`expected one commit, BASE\n\n${USAGE}`);
  const say = (line: string) => console.error(`→ ${line}`);
  const look = (sources: Sources): Promise<Findings> =>
    values.offline ? renderBoth(sources) : previewOnBase(sources, say);
  const findings = await withSources(base, values.head, look);
  const markdown = describeReview(findings);
  if (values.output === undefined) process.stdout.write(markdown);
  else writeFileSync(values.output, markdown);
  return differs(findings) ? 1 : 0;
}

runCommand(review, 2);
