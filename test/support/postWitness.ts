/** The proof that no POST is sent twice: the nodes' own word on what reached them. */
import { PassThrough, type Readable } from "node:stream";
import { createInterface } from "node:readline";
import type Docker from "dockerode";
import { STACK_LABEL, ROLE_LABEL } from "../../config/topology";
import type { LabCheckout } from "./checkout";
import { eventually } from "./observe";
import type { Exchange } from "./load";

const CATCH_UP_MS = 10_000;

type Labels = Record<string, string>;

/** Nodes added by hand have no role. */
const isNode = (labels: Labels) => [undefined, "backend"].includes(labels[ROLE_LABEL]);

/** What became of POSTs, as the nodes tell it. */
export interface PostCount {
  /** Ids that reached nodes more than once. */
  twice: string[];
  /** Answered, but in no log: the witness itself would have failed. */
  unseen: string[];
}

/**
 * Follows the logs of all nodes of a lab, those that start later and go again too. The application
 * writes a line with the URL, and so the id, when a POST arrives and not when it is answered.
 */
export class PostWitness {
  private readonly seen = new Set<string>();
  private readonly arrivals = new Map<string, number>();
  private readonly streams: Readable[] = [];

  private constructor(private readonly engine: Docker) {}

  static async watch({ host: { engine }, stack }: LabCheckout): Promise<PostWitness> {
    const witness = new PostWitness(engine);
    const label = [`${STACK_LABEL}=${stack}`];
    const events = (await engine.getEvents({
      filters: { label, type: ["container"], event: ["start"] },
    })) as Readable;
    witness.streams.push(events);
    createInterface({ input: events }).on("line", (line) => {
      const { id, Actor } = JSON.parse(line) as { id: string; Actor: { Attributes: Labels } };
      if (isNode(Actor.Attributes)) void witness.follow(id);
    });
    const running = await engine.listContainers({ filters: { label } });
    const nodes = running.filter(({ Labels }) => isNode(Labels));
    await Promise.all(nodes.map(({ Id }) => witness.follow(Id)));
    return witness;
  }

  /** Judges these exchanges once the logs have caught up with them. */
  async count(exchanges: readonly Exchange[]): Promise<PostCount> {
    const posts = exchanges.filter(({ id }) => id !== undefined);
    const answered = posts.filter(({ lost }) => lost === undefined);
    const unseen = () => answered.map(({ id }) => id!).filter((id) => !this.arrivals.has(id));
    await eventually(CATCH_UP_MS, async () => {
      if (unseen().length > 0) throw new Error("the logs have not caught up");
    }).catch(() => undefined);
    const twice = posts.map(({ id }) => id!).filter((id) => (this.arrivals.get(id) ?? 0) > 1);
    return { twice, unseen: unseen() };
  }

  stop(): void {
    for (const stream of this.streams) stream.destroy();
  }

  /** From the log's beginning, as a container that starts again goes on with the same log. */
  private async follow(id: string): Promise<void> {
    const options = { follow: true, stdout: true, stderr: true, timestamps: true } as const;
    // One that is gone already has nothing to say.
    const raw = await this.engine
      .getContainer(id)
      .logs(options)
      .catch(() => undefined);
    if (raw === undefined) return;
    const lines = new PassThrough();
    this.streams.push(raw as Readable);
    this.engine.modem.demuxStream(raw, lines, lines);
    createInterface({ input: lines }).on("line", (line) => {
      const arrival = / app: POST \S*[?&]id=(\S+) received$/.exec(line);
      // The same line at the same nanosecond is the one that was read before.
      if (arrival === null || this.seen.has(`${id} ${line}`)) return;
      this.seen.add(`${id} ${line}`);
      this.arrivals.set(arrival[1], (this.arrivals.get(arrival[1]) ?? 0) + 1);
    });
  }
}
