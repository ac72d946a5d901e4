/**
 * The Serf agent in this container. Its event handlers would be a process for each event, and Serf passes on no
 * other event until that process has ended; a stream by its RPC keeps nobody waiting.
 */
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { paths } from "./paths";
import type { Member } from "./protocol/control";
import { type Bytes, Connection, textOf } from "./serfRpc";

const ANSWER_WITHIN_MS = 2000;
const CONNECT_AGAIN_AFTER_MS = 200;
/** How long a query goes on, whoever has answered. */
const QUERY_MS = 600;
const EVENTS = [
  ...["member-join", "member-leave", "member-failed", "member-update", "member-reap"],
  ...["query:announce", "query:leave", "query:serving"],
];

/** What gossip says of members. */
export interface GossipEvent {
  /** `member-join`, `member-leave`, …, or the query's name: `announce`, `leave`, `serving`. */
  event: string;
  members: Omit<Member, "status">[];
}

/** The RPC's own names. */
interface RpcMember {
  Name: Bytes;
  Addr: Bytes;
  Status: Bytes;
  Tags: Record<string, Bytes> | null;
}
type RpcEvent =
  | { Event: Bytes; Members: RpcMember[] }
  | { Event: Bytes; Name: Bytes; ID: number; Payload: Bytes | null };
interface RpcAnswer {
  Type: Bytes;
  From: Bytes;
  Payload: Bytes | null;
}

/** Stays connected to the agent, which may restart at any time. */
export class SerfAgent {
  private connection?: Promise<Connection>;

  /**
   * @param onEvent returns the answer, if the event is a query
   * @param onConnected called when events may have been missed
   */
  constructor(
    private readonly onEvent: (event: GossipEvent) => Promise<string>,
    private readonly onConnected: () => void,
  ) {}

  /** Hears the events until the signal aborts. */
  async follow(signal?: AbortSignal): Promise<void> {
    const end = () => this.connection?.then((connection) => connection.end());
    signal?.addEventListener("abort", () => void end()?.catch(() => undefined));
    while (!signal?.aborted) {
      const connection = await this.connect().catch(() => undefined);
      await connection?.ended;
      await delay(CONNECT_AGAIN_AFTER_MS);
    }
  }

  /** All members that the agent knows; undefined when it does not answer. */
  async readMembers(): Promise<Member[] | undefined> {
    const answer = await this.inTime(async () => (await this.connect()).ask("members"));
    return (answer as { Members: RpcMember[] } | undefined)?.Members.map((member) => ({
      ...describeMember(member),
      status: textOf(member.Status) as Member["status"],
    }));
  }

  /**
   * Asks every balancer that the agent knows.
   *
   * @returns what those said that answered in time, by name
   */
  async queryBalancers(question: string): Promise<Record<string, string>> {
    const answers: Record<string, string> = {};
    const take = (body: unknown) => {
      const { Type, From, Payload } = body as RpcAnswer;
      if (textOf(Type) === "response") answers[textOf(From)] = textOf(Payload);
      return textOf(Type) !== "done";
    };
    const query = { Name: question, FilterTags: { role: "balancer" }, Timeout: QUERY_MS * 1e6 };
    await this.inTime(async () => (await this.connect()).follow("query", query, take));
    return answers;
  }

  /** An agent that is stopped takes a connection and says nothing. */
  private inTime<T>(ask: () => Promise<T>): Promise<T | undefined> {
    const late = delay(QUERY_MS + ANSWER_WITHIN_MS, undefined, { ref: false });
    return Promise.race([ask(), late]).catch(() => undefined);
  }

  private connect(): Promise<Connection> {
    return (this.connection ??= this.open());
  }

  private async open(): Promise<Connection> {
    const [host, port] = (process.env.SERF_RPC_ADDR ?? "127.0.0.1:7373").split(":");
    const connection = new Connection(connect({ host, port: Number(port) }));
    void connection.ended.then(() => (this.connection = undefined));
    try {
      await connection.command("handshake", { Version: 1 });
      // Each run of the agent has a token of its own.
      const AuthKey = readFileSync(paths.serfToken, "utf8").trim();
      await connection.command("auth", { AuthKey });
    } catch (error) {
      connection.end();
      throw error;
    }
    const take = (body: unknown) => {
      void this.hear(connection, body as RpcEvent);
      return true;
    };
    connection.follow("stream", { Type: EVENTS.join() }, take).catch(() => connection.end());
    this.onConnected();
    return connection;
  }

  private async hear(connection: Connection, body: RpcEvent): Promise<void> {
    try {
      if ("Members" in body) {
        const members = body.Members.map(describeMember);
        await this.onEvent({ event: textOf(body.Event), members });
        return;
      }
      const members = parseMembers(textOf(body.Payload));
      const answer = await this.onEvent({ event: textOf(body.Name), members });
      await connection.command("respond", { ID: body.ID, Payload: Buffer.from(answer) });
    } catch (error) {
      // Also when the answer comes too late: who asked asks again.
      console.error((error as Error).message);
    }
  }
}

function describeMember({ Name, Addr, Tags }: RpcMember): Omit<Member, "status"> {
  const tag = (name: string) => textOf(Tags?.[name] ?? null);
  return {
    name: textOf(Name),
    address: describeAddress(Addr),
    role: tag("role"),
    origin: tag("origin"),
    boot: tag("boot"),
  };
}

const IPV4_IN_IPV6 = "00000000000000000000ffff";

/** Empty for one that is not IPv4. */
function describeAddress(bytes: Bytes): string {
  const isMapped = Buffer.from(bytes.slice(0, -4)).toString("hex") === IPV4_IN_IPV6;
  return bytes.length === 4 || isMapped ? bytes.slice(-4).join(".") : "";
}

/**
 * What a member says of itself in a query, images/base/rootfs/usr/local/bin/serf-self: a line with name, address, role
 * and tags. Fields that lack are empty.
 */
export function parseMembers(text: string): GossipEvent["members"] {
  const said = text.replace(/\n+$/, "");
  if (said === "") return [];
  return said.split("\n").map((line) => {
    const [name, address = "", role = "", tags = ""] = line.split("\t");
    const tag = (key: string) =>
      tags
        .split(",")
        .find((pair) => pair.startsWith(`${key}=`))
        ?.slice(key.length + 1) ?? "";
    return { name, address, role, origin: tag("origin"), boot: tag("boot") };
  });
}
