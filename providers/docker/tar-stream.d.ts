/** The part of tar-stream that is used here; the package comes without types. */
declare module "tar-stream" {
  import { Readable } from "node:stream";

  interface Header {
    name: string;
    mode?: number;
    uid?: number;
    gid?: number;
    mtime?: Date;
    type?: "file" | "directory" | "symlink";
    linkname?: string;
  }

  interface Pack extends Readable {
    entry(header: Header, content?: Buffer): void;
    finalize(): void;
  }

  export function pack(): Pack;
}
