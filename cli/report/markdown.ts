/** A report as Markdown (CommonMark with tables). */
import { linkTo, type Block, type Document } from "./document";

export function toMarkdown({ title, intro, sections }: Document): string {
  const parts = sections.flatMap((section) => [
    `## ${section.title}`,
    ...section.blocks.map(renderBlock),
  ]);
  return [`# ${title}`, intro, ...parts].join("\n\n") + "\n";
}

function renderBlock(block: Block): string {
  switch (block.kind) {
    case "heading":
      return `### ${block.text}`;
    case "text":
      return block.text;
    case "list":
      return block.items.map((item) => `- ${item}`).join("\n");
    case "table":
      return [
        block.header,
        block.header.map(() => "---"),
        ...block.rows.map((row) => row.map(escape)),
      ]
        .map((cells) => `| ${cells.join(" | ")} |`)
        .join("\n");
    case "diff":
      return `${block.title}:\n\n\`\`\`diff\n${block.lines.join("\n")}\n\`\`\``;
    case "image":
      return `![${block.title}](${linkTo(block.file)})`;
    case "files":
      return block.files.map((file) => `- [${file}](${linkTo(file)})`).join("\n");
    case "question":
      return `> **${block.name}** ${block.text}\n\n✍ **Your answer:**\n\n…`;
  }
}

/** Text of the lab's as it is: a name from gossip may be anything. */
const escape = (text: string) =>
  text.replace(/[\\`*_[\]<>|~&]/g, (char) => `\\${char}`).replace(/\s+/g, " ");
