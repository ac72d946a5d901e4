import { pack } from "tar-stream";

/** A file of root's as the engine takes it into a container. @param mode who may read it */
export function archiveOf(name: string, text: string, mode = 0o644): NodeJS.ReadableStream {
  const archive = pack();
  archive.entry({ name, mode }, Buffer.from(text));
  archive.finalize();
  return archive;
}
