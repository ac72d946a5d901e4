import { lstat, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { parseNode } from "./protocol/declaration";
import { type ProxyNode, sortNodes } from "../haproxy/render";
import { readIfThere, writeCandidate } from "./files";

const EXTENSION = ".yaml";

/**
 * Makes the folder hold exactly these nodes, one file each; a file that is right is left alone. All
 * texts are on disk before the first file is replaced, so a full disk changes nothing.
 */
export async function writeNodes(folder: string, nodes: readonly ProxyNode[]): Promise<void> {
  const wanted = new Map(nodes.map((node) => [`${node.name}${EXTENSION}`, stringify(node)]));
  const changes = new Map<string, string>();
  try {
    for (const [file, text] of wanted) {
      const path = join(folder, file);
      if ((await readIfThere(path).catch(() => undefined)) === text) continue;
      changes.set(path, await writeCandidate(path, text));
    }
  } catch (error) {
    for (const candidate of changes.values()) await rm(candidate);
    throw error;
  }
  for (const [path, candidate] of changes) {
    // A folder in a file's place would not be replaced.
    if ((await lstat(path).catch(() => undefined))?.isDirectory())
      await rm(path, { recursive: true });
    await rename(candidate, path);
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
        const node = parseNode(parse((await readIfThere(join(folder, file))) ?? ""));
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
