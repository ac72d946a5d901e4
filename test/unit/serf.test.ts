import { createServer, type Server, type Socket } from "node:net";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeMultiStream, encode } from "@msgpack/msgpack";
import fc from "fast-check";
import { paths } from "../../configurator/paths";
import { type GossipEvent, parseMembers, SerfAgent } from "../../configurator/serf";
import { eventually } from "../support/observe";

type Said = GossipEvent["members"][number];

const s1: Said = {
  ...{ name: "s1", address: "10.0.0.1", role: "backend", origin: "pulumi", boot: "b1" },
};
const lineOf = ({ name, address, role, origin, boot }: Said) =>
  `${name}\t${address}\t${role}\trole=${role},origin=${origin},boot=${boot}`;

describe("what members say of themselves", () => {
  test.each<[string, string, Said[]]>([
    ["one member", lineOf(s1), [s1]],
    ["with a newline at the end", `${lineOf(s1)}\n`, [s1]],
    [
      "many members",
      `${lineOf(s1)}\n${lineOf({ ...s1, name: "s2" })}\n`,
      [s1, { ...s1, name: "s2" }],
    ],
    [
      "tags in another order, and others",
      "s1\t10.0.0.1\tbackend\tx=1,boot=b1,y=,origin=pulumi,role=backend",
      [s1],
    ],
    [
      "a tag whose name ends alike",
      "s1\t10.0.0.1\tbackend\treboot=x,boot=b1,unorigin=y,origin=pulumi",
      [s1],
    ],
    ["a tag given twice: the first", "s1\t10.0.0.1\tbackend\tboot=b1,boot=b2,origin=pulumi", [s1]],
    [
      "a value with an equals sign",
      "s1\t10.0.0.1\tbackend\torigin=pulumi,boot=a=b=",
      [{ ...s1, boot: "a=b=" }],
    ],
    [
      "tags without values",
      "s1\t10.0.0.1\tbackend\tboot,origin,,=",
      [{ ...s1, origin: "", boot: "" }],
    ],
    ["no tags", "s1\t10.0.0.1\tbackend\t", [{ ...s1, origin: "", boot: "" }]],
    ["a name alone", "s1", [{ ...s1, address: "", role: "", origin: "", boot: "" }]],
    ["a fifth field", `${lineOf(s1)}\tboot=b2`, [s1]],
    [
      "a name with JSON and spaces",
      lineOf({ ...s1, name: ' a"},{"host":"x' }),
      [{ ...s1, name: ' a"},{"host":"x' }],
    ],
    [
      "an empty line between members",
      `${lineOf(s1)}\n\n${lineOf(s1)}`,
      [s1, { name: "", address: "", role: "", origin: "", boot: "" }, s1],
    ],
    ["nothing", "", []],
    ["empty lines", "\n\n\n", []],
  ])("%s", (_what, text, members) => {
    expect(parseMembers(text)).toEqual(members);
  });

  test("any text is members whose fields are texts of one line", () => {
    const bits = fc.constantFrom(
      ...["\t", "\n", "\r", "\0", ",", "=", "boot=", "origin=", "s1", "é", "😀"],
    );
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc
        .array(fc.oneof(bits, fc.string({ unit: "binary", maxLength: 3 })))
        .map((all) => all.join("")),
    );
    const field = expect.stringMatching(/^[^\t\n]*$/) as string;
    const said = { name: field, address: field, role: field, origin: field, boot: field };
    fc.assert(
      fc.property(text, (message) => {
        const members = parseMembers(message);
        expect(members.length).toBeLessThanOrEqual(message.split("\n").length);
        for (const heard of members) expect(heard).toEqual(said);
      }),
      { numRuns: 1000 },
    );
  });

  test("any member comes out as it went in", () => {
    const word = fc.stringMatching(/^[^\s,][^\t\n,]{0,20}[^\s,]$/);
    const anybody = fc.record({ name: word, address: word, role: word, origin: word, boot: word });
    fc.assert(
      fc.property(fc.array(anybody, { maxLength: 5 }), (members) => {
        expect(parseMembers(members.map(lineOf).join("\n"))).toEqual(members);
      }),
    );
  });
});

/** An agent's RPC as Serf has it, with answers that a test gives. */
class FakeAgent {
  /** Commands that came, without their numbers; those of all connections. */
  readonly heard: unknown[] = [];
  answers: Record<string, (body: unknown) => { error?: string; bodies?: unknown[] } | undefined> =
    {};
  private readonly sockets = new Set<Socket>();
  private streamed?: (body: object) => void;

  static async start(): Promise<FakeAgent> {
    const agent = new FakeAgent();
    await new Promise<void>((done) => agent.server.listen(0, "127.0.0.1", done));
    return agent;
  }

  private constructor(
    private readonly server: Server = createServer((socket) => {
      this.sockets.add(socket);
      socket.on("error", () => undefined);
      void this.serve(socket).catch(() => undefined);
    }),
  ) {}

  get address(): string {
    return `127.0.0.1:${(this.server.address() as { port: number }).port}`;
  }

  /** Waits until somebody follows the events. */
  async follower(): Promise<(body: object) => void> {
    await eventually(5000, () => {
      if (this.streamed === undefined) throw new Error("nobody follows");
      return Promise.resolve();
    });
    return this.streamed!;
  }

  /** Ends all connections, as a restart does. */
  drop(): void {
    this.streamed = undefined;
    for (const socket of this.sockets) socket.destroy();
    this.sockets.clear();
  }

  close(): void {
    this.drop();
    this.server.close();
  }

  private async serve(socket: Socket): Promise<void> {
    const messages = decodeMultiStream(socket)[Symbol.asyncIterator]();
    const next = async () => (await messages.next()).value;
    for (;;) {
      const header = (await next()) as { Command: string; Seq: number };
      const { Command, Seq } = header;
      const body = Command === "members" ? undefined : await next();
      this.heard.push({ Command, ...(body as object | undefined) });
      const answer = this.answers[Command];
      const { error = "", bodies = [] } = (answer ? answer(body) : {}) ?? { error: "silent" };
      if (error === "silent") continue;
      const send = (message: object) => void socket.write(encode(message));
      send({ Seq, Error: error });
      for (const [i, one] of bodies.entries()) {
        if (Command !== "members" || i > 0) send({ Seq, Error: "" });
        send(one as object);
      }
      if (Command === "stream") {
        this.streamed = (message) => {
          send({ Seq, Error: "" });
          send(message);
        };
      }
    }
  }
}

describe("the agent's RPC", () => {
  const member = (name: string, Addr: number[], tags: object | null) => ({
    ...{ Name: name, Addr: Uint8Array.from(Addr), Port: 7946, Status: "alive", Tags: tags },
  });
  const TAGS = { role: "backend", origin: "pulumi", boot: "b1" };
  let fake: FakeAgent;
  let agent: SerfAgent;
  let events: GossipEvent[];
  let connects: number;
  let end: AbortController;
  let folder: string;
  const { serfToken } = paths;

  beforeEach(async () => {
    fake = await FakeAgent.start();
    folder = mkdtempSync(join(tmpdir(), "serf-test-"));
    Object.assign(paths, { serfToken: join(folder, "token") });
    writeFileSync(paths.serfToken, "a token\n");
    process.env.SERF_RPC_ADDR = fake.address;
    events = [];
    connects = 0;
    end = new AbortController();
    agent = new SerfAgent(
      (event) => {
        events.push(event);
        if (event.event === "leave") return Promise.reject(new Error("it can't be"));
        return Promise.resolve(`heard ${event.event}`);
      },
      () => connects++,
    );
  });
  afterEach(() => {
    fake.close();
    end.abort();
    rmSync(folder, { recursive: true });
    Object.assign(paths, { serfToken });
    delete process.env.SERF_RPC_ADDR;
  });

  test("events come as they are, and a query is answered", async () => {
    void agent.follow(end.signal);
    const tell = await fake.follower();
    tell({ Event: "member-join", Members: [member("s1", [10, 0, 0, 1], TAGS)] });
    tell({ Event: "query", Name: "announce", ID: 7, LTime: 1, Payload: lineOf(s1) });
    await eventually(5000, () => {
      expect(fake.heard.slice(3)).toEqual([
        { Command: "respond", ID: 7, Payload: Buffer.from("heard announce") },
      ]);
      return Promise.resolve();
    });
    expect(events).toEqual([
      { event: "member-join", members: [s1] },
      { event: "announce", members: [s1] },
    ]);
    const Type =
      "member-join,member-leave,member-failed,member-update,member-reap,query:announce,query:leave,query:serving";
    expect(fake.heard.slice(0, 3)).toEqual([
      { Command: "handshake", Version: 1 },
      { Command: "auth", AuthKey: "a token" },
      { Command: "stream", Type },
    ]);
    expect(connects).toBe(1);
  });

  test("a query that can't be handled is not answered, and what follows is", async () => {
    const complain = jest.spyOn(console, "error").mockReturnValue();
    void agent.follow(end.signal);
    const tell = await fake.follower();
    tell({ Event: "query", Name: "leave", ID: 7, LTime: 1, Payload: "" });
    tell({ Event: "query", Name: "announce", ID: 8, LTime: 2, Payload: null });
    await eventually(5000, () => {
      expect(fake.heard.slice(3)).toMatchObject([{ Command: "respond", ID: 8 }]);
      return Promise.resolve();
    });
    expect(complain.mock.calls).toEqual([["it can't be"]]);
    complain.mockRestore();
  });

  test.each<[string, object, Partial<Said>]>([
    ["tags of nobody", member("s1", [10, 0, 0, 1], null), { role: "", origin: "", boot: "" }],
    [
      "IPv4 in the form of IPv6",
      member("s1", [...Array<number>(10).fill(0), 255, 255, 10, 0, 0, 1], TAGS),
      {},
    ],
    [
      "IPv6",
      member("s1", [32, 1, ...Array<number>(10).fill(0), 10, 0, 0, 1], TAGS),
      { address: "" },
    ],
    [
      "a tag that JavaScript would take for more",
      member(
        "s1",
        [10, 0, 0, 1],
        JSON.parse(`{"__proto__":"x",${JSON.stringify(TAGS).slice(1)}`) as object,
      ),
      {},
    ],
    ["no address", member("s1", [], TAGS), { address: "" }],
    ["a name with tabs and lines", member("s1\t\n\0", [10, 0, 0, 1], TAGS), { name: "s1\t\n\0" }],
  ])("members with %s", async (_what, one, difference) => {
    fake.answers.members = () => ({ bodies: [{ Members: [one] }] });
    expect(await agent.readMembers()).toEqual([{ ...s1, status: "alive", ...difference }]);
  });

  test("many questions at once have each its answer", async () => {
    let count = 0;
    fake.answers.members = () => ({
      bodies: [{ Members: [member(`s${++count}`, [10, 0, 0, 1], TAGS)] }],
    });
    const all = await Promise.all(Array.from({ length: 20 }, () => agent.readMembers()));
    expect(all.map((members) => members?.[0].name)).toEqual(
      Array.from({ length: 20 }, (_, i) => `s${i + 1}`),
    );
  });

  test("balancers' answers come by their names, until Serf says that it was all", async () => {
    fake.answers.query = () => ({
      bodies: [
        { Type: "response", From: "ha-m1", Payload: "one" },
        { Type: "response", From: "ha-m2", Payload: "two" },
        { Type: "done", From: "", Payload: null },
      ],
    });
    expect(await agent.queryBalancers("serving")).toEqual({ "ha-m1": "one", "ha-m2": "two" });
    expect(fake.heard[3]).toEqual({
      ...{ Command: "query", Name: "serving", Timeout: 600e6 },
      FilterTags: { role: "balancer" },
    });
  });

  test("after a restart it is followed again, with the token of the new run", async () => {
    void agent.follow(end.signal);
    await fake.follower();
    let token = "a token";
    fake.answers.auth = (body) =>
      (body as { AuthKey: string }).AuthKey === token ? {} : { error: "Invalid auth token" };
    token = "another";
    fake.drop();
    await eventually(5000, () => {
      expect(fake.heard.slice(3)).toContainEqual({ Command: "auth", AuthKey: "a token" });
      return Promise.resolve();
    });
    expect(await agent.readMembers()).toBeUndefined();
    writeFileSync(paths.serfToken, "another\n");
    (await fake.follower())({ Event: "member-leave", Members: [] });
    await eventually(5000, () => {
      expect(events).toEqual([{ event: "member-leave", members: [] }]);
      return Promise.resolve();
    });
    expect(connects).toBe(2);
  });

  test("an agent that is not there, or says nothing, has no answer", async () => {
    fake.answers.members = () => undefined;
    expect(await agent.readMembers()).toBeUndefined();
    fake.close();
    expect(await agent.readMembers()).toBeUndefined();
    expect(await agent.queryBalancers("serving")).toEqual({});
  });
});
