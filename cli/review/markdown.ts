/** What a change does to a deployed lab, as the Markdown of one comment. */
import { createTwoFilesPatch, diffLines } from "diff";

/** One step of a preview, in the names that the lab has when it is not thrown away. */
export interface Step {
  /** Pulumi's operation: `create`, `update`, `replace`, `delete`, … */
  op: string;
  /** Name in the program, such as `s3`. */
  name: string;
  /** Type token, such as `docker:index/container:Container`. */
  type: string;
  /** Properties because of which it is replaced. */
  replacedFor: string[];
}

/** What was found. */
export interface Findings {
  /** Commits as they were named, and as they are. */
  base: { name: string; commit?: string };
  head: { name: string; commit?: string };
  /** The text of haproxy.cfg on both sides. */
  config: { before: string; after: string };
  /**
   * The preview: what changes, how much does not, and its text; absent when both renderings were
   * compared without an engine.
   */
  preview?: { steps: Step[]; unchanged: number; text: string };
}

/** A comment on GitHub holds so many characters; GitLab's hold more. */
export const MAX_LENGTH = 65_536;

/** The comment of this command among others, so that the next run edits it. */
const MARK = "<!-- npm run review -->";

/** Operations in the order in which they are told, in words. */
const OPERATIONS: Record<string, string> = {
  create: "to create",
  update: "to update",
  replace: "to replace",
  delete: "to delete",
};

/** Whether the change does anything to a deployed lab. */
export function differs({ config, preview }: Findings): boolean {
  return config.before !== config.after || (preview?.steps ?? []).length > 0;
}

/** The whole change in one line. */
export function summarize({ config, preview }: Findings): string {
  const lines = countLines(config);
  const parts = Object.entries(OPERATIONS)
    .map(([op, words]) => ({
      words,
      count: preview?.steps.filter((step) => step.op === op).length,
    }))
    .filter(({ count }) => count)
    .map(({ words, count }) => `${count} ${words}`);
  if (preview) parts.push(`${preview.unchanged} unchanged`);
  const text =
    lines.added + lines.removed === 0
      ? "haproxy.cfg unchanged"
      : `haproxy.cfg +${lines.added} −${lines.removed} lines`;
  return [parts.join(", "), text].filter((part) => part !== "").join("; ");
}

/**
 * The comment: the summary, the diff of haproxy.cfg, the resources by operation, what is replaced and
 * why, and the whole preview folded. What does not fit is cut, from the end, with a word about it.
 */
export function describeReview(findings: Findings, limit = MAX_LENGTH): string {
  const { base, head, config, preview } = findings;
  const of = ({ name, commit }: { name: string; commit?: string }) =>
    commit === undefined || commit.startsWith(name)
      ? `\`${name}\``
      : `\`${name}\` (${commit.slice(0, 12)})`;
  const parts = [`${MARK}\n### ${summarize(findings)}\n\n${of(head)} against ${of(base)}`];
  if (config.before !== config.after) {
    parts.push(`#### haproxy.cfg\n\n${fence(diffOf(config), "diff")}`);
  }
  if (preview === undefined) {
    parts.push("Both renderings were compared; without an engine nothing was previewed.");
  } else {
    const { steps } = preview;
    if (steps.length > 0) parts.push(`#### Resources\n\n${table(steps)}`);
    const replaced = steps.filter(({ replacedFor }) => replacedFor.length > 0);
    if (replaced.length > 0) parts.push(`#### Replaced, and why\n\n${reasons(replaced)}`);
  }
  const whole = preview && differs(findings) ? preview.text : undefined;
  return fit(parts, whole, limit);
}

function countLines({ before, after }: Findings["config"]): { added: number; removed: number } {
  const parts = diffLines(before, after);
  const sum = (kind: "added" | "removed") =>
    parts.filter((part) => part[kind]).reduce((total, part) => total + part.count, 0);
  return { added: sum("added"), removed: sum("removed") };
}

/** A unified diff without the head that names the files. */
function diffOf({ before, after }: Findings["config"]): string {
  const patch = createTwoFilesPatch("haproxy.cfg", "haproxy.cfg", before, after);
  return patch.slice(patch.indexOf("@@")).trimEnd();
}

function table(steps: Step[]): string {
  const order = Object.keys(OPERATIONS);
  const place = ({ op }: Step) => (order.includes(op) ? order.indexOf(op) : order.length);
  const rows = [...steps]
    .sort((a, b) => place(a) - place(b))
    .map(({ op, name, type }) => `| ${op} | \`${name}\` | \`${type}\` |`);
  return ["| operation | resource | type |", "| --- | --- | --- |", ...rows].join("\n");
}

function reasons(steps: Step[]): string {
  return steps
    .map(
      ({ name, replacedFor }) =>
        `- \`${name}\`: ${replacedFor.map((key) => `\`${key}\``).join(", ")}`,
    )
    .join("\n");
}

/** A fenced block, whatever the text: its fence is longer than any in it. */
function fence(text: string, language: string): string {
  const longest = Math.max(2, ...(text.match(/`+/g) ?? []).map(({ length }) => length));
  const ticks = "`".repeat(longest + 1);
  return `${ticks}${language}\n${text}\n${ticks}`;
}

const CUT = "… cut here, since a comment holds no more; the command prints the rest";

function fit(parts: string[], whole: string | undefined, limit: number): string {
  const head = parts.join("\n\n");
  const fold = (text: string) =>
    `\n\n<details><summary>The whole preview</summary>\n\n${fence(text, "diff")}\n\n</details>`;
  const full = head + (whole === undefined ? "" : fold(whole)) + "\n";
  if (full.length <= limit) return full;
  if (whole !== undefined) {
    const room = limit - head.length - fold(CUT).length - 80;
    if (room > 0) return `${head}${fold(`${cutLines(whole, room)}\n${CUT}`)}\n`;
  }
  const isOpen = (text: string) => (text.match(/^`{3,}/gm) ?? []).length % 2 === 1;
  const kept = cutLines(head, limit - CUT.length - 80);
  const ticks = /^(`{3,})/gm.exec(kept)?.[1] ?? "```";
  return `${kept}\n${isOpen(kept) ? `${ticks}\n\n` : ""}${CUT}\n`;
}

/** The whole lines at the beginning that fit. */
function cutLines(text: string, length: number): string {
  const end = text.lastIndexOf("\n", length);
  return text.slice(0, Math.max(end, 0));
}
