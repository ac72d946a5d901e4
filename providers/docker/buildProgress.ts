/**
 * What BuildKit says during a build. Its progress comes through the engine as protobuf messages:
 * https://github.com/moby/buildkit/blob/master/api/services/control/control.proto
 * dockerode's followProgress reads them too, but gives output as base64 and not which step failed.
 */
import { BinaryReader } from "google-protobuf";

/** One line of the engine's answer to a build. */
export interface BuildMessage {
  id?: string;
  aux?: unknown;
  stream?: string;
  error?: string;
}

interface Step {
  name: string;
  failed: boolean;
  started: boolean;
  output: string;
}

/** How much of the failed step's output an error shows. */
const OUTPUT_LINES = 15;

/** Follows one build. */
export class BuildProgress {
  /** The image, once it is built. */
  imageId: string | undefined;
  private error: string | undefined;
  private readonly steps = new Map<string, Step>();

  /** Takes one message of the engine; gives the lines that are worth showing. */
  add(message: BuildMessage): string[] {
    if (message.error !== undefined) this.error = message.error;
    if (message.id === "moby.image.id") this.imageId = (message.aux as { ID: string }).ID;
    if (message.id === "moby.buildkit.trace") return this.addTrace(message.aux as string);
    return [];
  }

  /** @throws with the step that failed and its last output, unless there is an image. */
  expectImage(imageName: string): string {
    if (this.imageId !== undefined && this.error === undefined) return this.imageId;
    const failed = [...this.steps.values()].find((step) => step.failed);
    const output = failed?.output.trimEnd().split("\n").slice(-OUTPUT_LINES).join("\n");
    const where = failed ? ` at ${failed.name}` : "";
    const why = this.error ?? "the engine gave no image";
    throw new Error(`build of ${imageName} failed${where}: ${why}${output ? `\n${output}` : ""}`);
  }

  private addTrace(base64: string): string[] {
    const lines: string[] = [];
    readFields(Buffer.from(base64, "base64"), {
      1: (bytes) => lines.push(...this.addVertex(bytes)),
      3: (bytes) => lines.push(...this.addLog(bytes)),
    });
    return lines;
  }

  private addVertex(bytes: Buffer): string[] {
    let digest = "";
    let name = "";
    let started = false;
    let failed = false;
    readFields(bytes, {
      1: (value) => (digest = value.toString()),
      3: (value) => (name = value.toString()),
      5: () => (started = true),
      7: (value) => (failed = value.length > 0),
    });
    const before = this.steps.get(digest);
    this.steps.set(digest, { name, failed, started, output: before?.output ?? "" });
    return started && !before?.started ? [name] : [];
  }

  private addLog(bytes: Buffer): string[] {
    let digest = "";
    let text = "";
    readFields(bytes, {
      1: (value) => (digest = value.toString()),
      4: (value) => (text = value.toString()),
    });
    const step = this.steps.get(digest);
    if (step) step.output += text;
    return text.split("\n").filter((line) => line.trim() !== "");
  }
}

/** Calls the handler of each field that holds bytes; the others are of no interest here. */
function readFields(bytes: Buffer, handlers: Record<number, (value: Buffer) => void>): void {
  const reader = new BinaryReader(bytes);
  while (reader.nextField()) {
    const handler = handlers[reader.getFieldNumber()];
    if (handler && reader.isDelimited()) handler(Buffer.from(reader.readBytes()));
    else reader.skipField();
  }
}
