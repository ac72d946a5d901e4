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
 * @throws Error naming the file that is not a node
 */
export async function readNodes(folder: string): Promise<ProxyNode[]> {
  const files = (await readdir(folder)).filter((file) => file.endsWith(EXTENSION));
  const nodes = await Promise.all(
    files.map(async (file) => {
      try {
        return parseNode(parse(await readFile(join(folder, file), "utf8")));
      } catch (error) {
        throw new Error(`${join(folder, file)}: ${(error as Error).message}`, { cause: error });
      }
    }),
  );
  return sortNodes(nodes);
}
