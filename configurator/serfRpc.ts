/**
 * One connection to a Serf agent's RPC (serf.io/docs/agent/rpc.html): msgpack both ways. A command has a number; a
 * header with that number answers it, and a body may follow the header.
 */
import type { Socket } from "node:net";
import { type DecoderOptions, decodeMultiStream, encode } from "@msgpack/msgpack";

/** Text as the agent has it, which may be any bytes. */
export type Bytes = Uint8Array;

export const textOf = (bytes: Bytes | null) => Buffer.from(bytes ?? []).toString();

const DECODING: DecoderOptions & { context: undefined } = {
  context: undefined,
  rawStrings: true,
  keyDecoder: {
    canBeCached: () => true,
    // A member may give any name to a tag. At this one the library would end the stream.
    decode(bytes, at, length) {
      const key = Buffer.from(bytes.subarray(at, at + length)).toString();
      return key === "__proto__" ? "" : key;
    },
  },
};

interface Header {
  Seq: number;
  /** Why the command is refused; empty if it is not. No body follows a refusal. */
  Error: Bytes;
}

/** A command that is not answered yet. */
interface Call {
  /** Whether a body follows the next header. */
  hasBody: boolean;
  /** @returns whether more may come */
  take: (body: unknown) => boolean;
  fail: (error: Error) => void;
}

export class Connection {
  /** Fulfilled when it has ended. */
  readonly ended: Promise<void>;
  private readonly calls = new Map<number, Call>();
  private last = 0;

  constructor(private readonly socket: Socket) {
    this.ended = this.read().catch((error: Error) => {
      socket.destroy();
      for (const call of this.calls.values()) call.fail(error);
    });
  }

  end(): void {
    this.socket.destroy();
  }

  /** @throws what the agent says against the command, or why it can't be asked */
  command(command: string, body: object): Promise<void> {
    return new Promise((done, fail) => {
      const take = () => (done(), false);
      this.send(command, body, { hasBody: false, take, fail });
    });
  }

  /**
   * @returns the body of the answer
   * @throws as {@link command}
   */
  ask(command: string): Promise<unknown> {
    return new Promise((done, fail) => {
      const take = (body: unknown) => (done(body), false);
      this.send(command, undefined, { hasBody: true, take, fail });
    });
  }

  /**
   * Once the agent has taken the command, one body after the other comes.
   *
   * @param take gets each, and says whether more may come
   * @returns at the last one
   * @throws as {@link command}
   */
  follow(command: string, body: object, take: Call["take"]): Promise<void> {
    return new Promise((done, fail) => {
      const call: Call = {
        hasBody: false,
        take: () => {
          call.hasBody = true;
          call.take = (body) => take(body) || (done(), false);
          return true;
        },
        fail,
      };
      this.send(command, body, call);
    });
  }

  private send(Command: string, body: object | undefined, call: Call): void {
    if (this.socket.destroyed) return call.fail(new Error("the connection has ended"));
    const Seq = ++this.last;
    this.calls.set(Seq, call);
    const messages = body === undefined ? [{ Command, Seq }] : [{ Command, Seq }, body];
    this.socket.write(Buffer.concat(messages.map((message) => encode(message))));
  }

  private async read(): Promise<void> {
    const messages = decodeMultiStream(this.socket, DECODING)[Symbol.asyncIterator]();
    const next = async () => {
      const { value, done } = await messages.next();
      if (done) throw new Error("the agent ended the connection");
      return value;
    };
    for (;;) {
      const { Seq, Error: refusal } = (await next()) as Header;
      const call = this.calls.get(Seq);
      if (call === undefined) throw new Error(`an answer to command ${Seq}, which was not sent`);
      if (refusal.length > 0) call.fail(new Error(textOf(refusal)));
      const isOver = refusal.length > 0 || !call.take(call.hasBody ? await next() : undefined);
      if (isOver) this.calls.delete(Seq);
    }
  }
}
