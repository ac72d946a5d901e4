/** What was seen on the way through the tasks, put into a report. Functions on plain data. */
import { diffLines, type Block, type Document, type Section } from "./document";
import type { NodeStart, Snapshot } from "./evidence";
import type { Task } from "./tasks";

/** What the walk through one task left. */
export interface TaskRecord {
  task: Task;
  /** Sentences, in the order of what was done. */
  done: string[];
  snapshots: Snapshot[];
  starts: NodeStart[];
  /** What is particular to this task. */
  findings: Block[];
  /** Screenshots by their titles. */
  images: { file: string; title: string }[];
  /** All evidence, by path. */
  files: string[];
}

const list = (names: string[]) => names.join(", ") || "none";

const seconds = (from: number | undefined, to: number | undefined) =>
  from === undefined || to === undefined ? "?" : `${((to - from) / 1000).toFixed(2)} s`;

function describeSteps(snapshots: Snapshot[]): Block[] {
  if (snapshots.length === 0) return [];
  return [
    {
      kind: "table",
      header: ["step", "members", "/nodes", "serving"],
      rows: snapshots.map(({ step, members, nodes, serving }) => [
        step,
        list(members),
        list(nodes),
        list(serving),
      ]),
    },
  ];
}

/** What each step changed in /nodes and haproxy.cfg. */
function describeDifferences(snapshots: Snapshot[]): Block[] {
  return snapshots.slice(1).map((after, i) => {
    const before = snapshots[i];
    const folder = diffLines(before.nodes, after.nodes);
    const config = diffLines(before.config.split("\n"), after.config.split("\n"));
    const title = `${before.step} → ${after.step}`;
    if (folder.length + config.length === 0) {
      return { kind: "text", text: `${title}: neither \`/nodes\` nor \`haproxy.cfg\` changed.` };
    }
    return { kind: "diff", title, lines: [" /nodes", ...folder, " haproxy.cfg", ...config] };
  });
}

function describeStarts(starts: NodeStart[]): Block[] {
  if (starts.length === 0) return [];
  return [
    {
      kind: "table",
      header: ["node", "start → announce", "announce → first request", "start → first request"],
      rows: starts.map(({ node, started, announced, answered }) => [
        node,
        seconds(started, announced),
        seconds(announced, answered),
        seconds(started, answered),
      ]),
    },
  ];
}

export function describeTask(record: TaskRecord): Section {
  const { task, done, snapshots, starts, findings, images, files } = record;
  const changed = [
    ...describeSteps(snapshots),
    ...describeDifferences(snapshots),
    ...describeStarts(starts),
  ];
  const section = (text: string, blocks: Block[]): Block[] =>
    blocks.length > 0 ? [{ kind: "heading", text }, ...blocks] : [];
  return {
    title: `Task ${task.number}: ${task.title}`,
    blocks: [
      ...section("Asked", [{ kind: "text", text: task.asked }]),
      ...section("Done", [{ kind: "list", items: done }]),
      ...section("What was seen", findings),
      ...section("What changed", changed),
      ...section("Evidence", [
        ...images.map((image): Block => ({ kind: "image", ...image })),
        { kind: "files", files },
      ]),
      ...section(
        "Questions",
        task.questions.map((question): Block => ({ kind: "question", ...question })),
      ),
    ],
  };
}

/** @param when the walk began */
export function describeWalk(records: TaskRecord[], when: Date): Document {
  const questions = records.flatMap(({ task }) => task.questions).length;
  return {
    title: "Docker and dynamic scaling: report",
    intro:
      `Collected by \`npm run report\` on ${when.toISOString().slice(0, 10)}, on a lab of its own. ` +
      (questions > 0
        ? `The ${questions} places marked “Your answer” in \`report.md\` are yours: write there in your own words.`
        : ""),
    sections: records.map(describeTask),
  };
}
