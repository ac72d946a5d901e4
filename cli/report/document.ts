/** A report as plain data, before it becomes Markdown or a page. */

/** Texts and list items are trusted and may have `code` in backquotes; all else is shown as it is. */
export type Block =
  | { kind: "heading"; text: string }
  | { kind: "text"; text: string }
  | { kind: "list"; items: string[] }
  | { kind: "table"; header: string[]; rows: string[][] }
  /** Lines that begin with `+`, `-` or a blank. */
  | { kind: "diff"; title: string; lines: string[] }
  /** A PNG, by its path from the folder that holds `logs` and `report`. */
  | { kind: "image"; file: string; title: string }
  /** Links, by the same paths. */
  | { kind: "files"; files: string[] }
  /** Asked of the student, with room for the answer. */
  | { kind: "question"; name: string; text: string };

export interface Section {
  title: string;
  blocks: Block[];
}

export interface Report {
  title: string;
  intro: string;
  sections: Section[];
}

/** The path of a file from the folder `report` beside it, as a link. */
export const linkTo = (file: string) => `../${file.split("/").map(encodeURIComponent).join("/")}`;

/** The lines that went (`-`) and came (`+`), in the order of the texts; nothing of what stayed. */
export function diffLines(before: string[], after: string[]): string[] {
  // common[i][j]: length of the longest common subsequence of what follows i and j.
  const common = Array.from({ length: before.length + 1 }, () =>
    new Array<number>(after.length + 1).fill(0),
  );
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = after.length - 1; j >= 0; j--) {
      common[i][j] =
        before[i] === after[j]
          ? common[i + 1][j + 1] + 1
          : Math.max(common[i + 1][j], common[i][j + 1]);
    }
  }
  const changes: string[] = [];
  for (let i = 0, j = 0; i < before.length || j < after.length;) {
    if (before[i] === after[j]) [i, j] = [i + 1, j + 1];
    else if (j === after.length || (i < before.length && common[i + 1][j] >= common[i][j + 1])) {
      changes.push(`-${before[i++]}`);
    } else changes.push(`+${after[j++]}`);
  }
  return changes;
}
