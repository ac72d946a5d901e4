/** A report as plain data, before it becomes Markdown or a page. */
import { diffArrays } from "diff";

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

export interface Document {
  title: string;
  intro: string;
  sections: Section[];
}

/** The path of a file from the folder `report` beside it, as a link. */
export const linkTo = (file: string) => `../${file.split("/").map(encodeURIComponent).join("/")}`;

/** The lines that went (`-`) and came (`+`), in the order of the texts; nothing of what stayed. */
export function diffLines(before: string[], after: string[]): string[] {
  return diffArrays(before, after)
    .filter(({ added, removed }) => added || removed)
    .flatMap(({ added, value }) => value.map((line) => `${added ? "+" : "-"}${line}`));
}
