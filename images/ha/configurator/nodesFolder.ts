import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { parseNode } from "../../../haproxy/declaration";
import { type ProxyNode, sortNodes } from "../../../haproxy/render";
import { readIfThere, replaceFile } from "./files";

const EXTENSION = ".yaml";

/** Makes the folder hold exactly these nodes, one file each; a file that is right is left alone. */
export async function writeNodes(folder: string, nodes: readonly ProxyNode[]): Promise<void> {
  const wanted = new Map(nodes.map((node) => [`${node.name}${EXTENSION}`, stringify(node)]));
  for (const [file, text] of wanted) {
    const path = join(folder, file);
    if ((await readIfThere(path)) !== text) await replaceFile(path, text);
  }
  for (const file of await readdir(folder)) {
    if (!wanted.has(file)) await rm(join(folder, file), { recursive: true });
  }
}

/**
 * Reads the nodes back, in natural order.
 *
 * @param complain called for each file that is not a node, with its name and what is wrong; it is
 *   left out
 */
export async function readNodes(
  folder: string,
  complain: (line: string) => void = () => undefined,
): Promise<ProxyNode[]> {
  const files = (await readdir(folder)).filter((file) => file.endsWith(EXTENSION));
  const nodes = await Promise.all(
    files.map(async (file) => {
      try {
        const node = parseNode(parse(await readFile(join(folder, file), "utf8")));
        if (node.name + EXTENSION !== file) throw new Error(`it is of node ${node.name}`);
        return [node];
      } catch (error) {
        complain(`${join(folder, file)}: ${(error as Error).message}`);
        return [];
      }
    }),
  );
  return sortNodes(nodes.flat());
}
