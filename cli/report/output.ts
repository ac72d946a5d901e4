/** The folders `report` and `logs` that the command leaves, in the making. */
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { UsageError } from "../command";

const FOLDERS = ["logs", "report"];

/**
 * Files beside their later place until all are there: who is interrupted leaves nothing half done.
 * Paths are those from the folder that will hold `report` and `logs`.
 */
export class Output {
  private readonly partial: string;

  /**
   * @param folder that will hold them
   * @throws UsageError if it is none, Error if it has them already or can't be written
   */
  constructor(private readonly folder: string) {
    if (!existsSync(folder)) throw new UsageError(`--out: got ${folder}, expected a folder`);
    this.refuseExisting();
    try {
      accessSync(folder, constants.W_OK);
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      const expected = `expected a folder that can be written to (${code})`;
      throw new Error(`--out: got ${folder}, ${expected}`, { cause });
    }
    this.partial = join(folder, `.report-${process.pid}`);
  }

  /** @returns the file's path, for a link */
  save(file: string, content: string | Buffer): string {
    const path = join(this.partial, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    return file;
  }

  read(file: string): Buffer {
    return readFileSync(join(this.partial, file));
  }

  /** Puts the folders in their place. */
  publish(): void {
    this.refuseExisting();
    for (const name of FOLDERS) renameSync(join(this.partial, name), join(this.folder, name));
    this.discard();
  }

  /** Takes away what is not published. */
  discard(): void {
    rmSync(this.partial, { recursive: true, force: true });
  }

  private refuseExisting(): void {
    const there = FOLDERS.map((name) => join(this.folder, name)).filter((path) => existsSync(path));
    if (there.length === 0) return;
    const exist = there.length > 1 ? "exist" : "exists";
    throw new Error(
      `${there.join(" and ")} ${exist} already; move away what is there, ` +
        "or name another folder with: npm run report -- --out DIR",
    );
  }
}
