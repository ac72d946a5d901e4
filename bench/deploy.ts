/**
 * `up` from 0 to 10 nodes and on to 11, beside what a user would type instead: `docker run` of the
 * same containers, all at once, and Debian's docker-compose with HAProxy's `server-template`.
 */
import type { ContainerInspectInfo } from "dockerode";
import { STACK_LABEL } from "../config/topology";
import { LabCheckout } from "../test/support/checkout";
import { names } from "../test/support/observe";
import { withCompose } from "./compose";
import { run, timed, whenAnswered } from "./measure";
import { median, seconds, times, type Comparison, type Report } from "./report";

const ROUNDS = 3;
const NODES = 10;
const PATIENCE_MS = 120_000;

/** Seconds; each list has a value for each round. */
interface Samples {
  /** Until the command ended. */
  all: number[];
  /** Until all nodes had answered through the balancer. */
  answered: number[];
  /** The tool with nothing to do. */
  empty: number[];
  /** One node more, until it had answered. */
  one: number[];
}

const noSamples = (): Samples => ({ all: [], answered: [], empty: [], one: [] });

/** What brings a number of nodes about. */
interface Tool {
  /** Where its balancer is published. */
  port: number;
  /** Not timed: the user's edit. */
  declare: (nodes: number) => Promise<unknown>;
  apply: () => Promise<unknown>;
}

/** Takes a tool through a round: all nodes, nothing to do, one node more. */
async function takeRound(samples: Samples, { port, declare, apply }: Tool): Promise<void> {
  const timeTo = async (nodes: number) => {
    await declare(nodes);
    return Promise.all([timed(apply), timed(() => whenAnswered(port, nodes, PATIENCE_MS))]);
  };
  const [ended, answered] = await timeTo(NODES);
  samples.all.push(ended);
  samples.answered.push(answered);
  samples.empty.push(await timed(apply));
  const [, one] = await timeTo(NODES + 1);
  samples.one.push(one);
}

/** The command line that makes a container again, as it was. */
function toDockerRun({
  Name,
  Config,
  HostConfig,
  NetworkSettings,
}: ContainerInspectInfo): string[] {
  const [[network, { IPAMConfig, Aliases }]] = Object.entries(NetworkSettings.Networks);
  const each = (flag: string, values: string[] | null | undefined) =>
    (values ?? []).flatMap((value) => [flag, value]);
  const ports = Object.entries(HostConfig.PortBindings as Record<string, PortBinding[]>);
  const { IPv4Address } = IPAMConfig as { IPv4Address: string };
  return [
    ...["docker", "run", "--detach", "--name", Name.slice(1), "--hostname", Config.Hostname],
    ...["--network", network, "--ip", IPv4Address],
    ...["--restart", HostConfig.RestartPolicy!.Name],
    ...each("--network-alias", Aliases as string[]),
    ...each("--env", Config.Env),
    ...each(
      "--label",
      Object.entries(Config.Labels).map(([key, value]) => `${key}=${value}`),
    ),
    ...each("--cap-drop", HostConfig.CapDrop as string[]),
    ...each("--cap-add", HostConfig.CapAdd as string[]),
    ...each(
      "--publish",
      ports.flatMap(([inner, outer]) =>
        outer.map(({ HostIp, HostPort }) => `${HostIp}:${HostPort}:${inner}`),
      ),
    ),
    ...each(
      "--log-opt",
      Object.entries(HostConfig.LogConfig!.Config as Record<string, string>).map((o) =>
        o.join("="),
      ),
    ),
    Config.Image,
  ];
}

interface PortBinding {
  HostIp: string;
  HostPort: string;
}

/** What would make the lab's network and containers by hand. */
async function describeByHand(lab: LabCheckout) {
  const containers = await Promise.all(
    ["ha", ...names(NODES)].map((name) => lab.container(name).inspect()),
  );
  const network = `${lab.config.namePrefix}heig`;
  const label = `${STACK_LABEL}=${lab.stack}`;
  const subnet = String(lab.config.subnet);
  return {
    network: ["docker", "network", "create", "--subnet", subnet, "--label", label, network],
    containers: containers.map(toDockerRun),
    removal: [
      ["docker", "rm", "--force", ...containers.map(({ Name }) => Name.slice(1))],
      ["docker", "network", "rm", network],
    ],
  };
}

async function takeBare(samples: number[], byHand: Awaited<ReturnType<typeof describeByHand>>) {
  try {
    const work = async () => {
      await run(byHand.network);
      await Promise.all(byHand.containers.map((command) => run(command)));
    };
    samples.push(await timed(work));
  } finally {
    for (const command of byHand.removal) await run(command);
  }
}

async function takeOwn(samples: Samples, lab: LabCheckout): Promise<void> {
  await takeRound(samples, {
    port: Number(lab.config.httpPort),
    declare: (nodes) => lab.configure("nodeCount", nodes),
    apply: () => lab.up(),
  });
}

async function takeCompose(
  samples: Samples,
  lab: LabCheckout,
  progress: (line: string) => void,
): Promise<void> {
  let declared = 0;
  await withCompose(lab, progress, ({ port, scale }) =>
    takeRound(samples, {
      port,
      declare: (nodes) => Promise.resolve((declared = nodes)),
      apply: () => scale(declared),
    }),
  );
}

function toReport(own: Samples, compose: Samples, bare: number[]): Report {
  const [ownAll, bareAll] = [median(own.all), median(bare)];
  const [ownAnswered, composeAnswered] = [median(own.answered), median(compose.answered)];
  const beyondEmpty = ({ one, empty }: Samples) => median(one.map((value, i) => value - empty[i]));
  const [ownOne, composeOne] = [beyondEmpty(own), beyondEmpty(compose)];
  const comparisons: Comparison[] = [
    {
      figure: `up 0 → ${NODES}, images built`,
      own: seconds(ownAll),
      against: `bare docker run, all at once: ${seconds(bareAll)}`,
      ratio: times(ownAll / bareAll),
      aim: `≤ 1.5× + 2 s = ${seconds(1.5 * bareAll + 2)}`,
      isMet: ownAll <= 1.5 * bareAll + 2,
    },
    {
      figure: `0 → ${NODES} until all have answered`,
      own: seconds(ownAnswered),
      against: `docker-compose: ${seconds(composeAnswered)}`,
      ratio: times(ownAnswered / composeAnswered),
      aim: "≤ 0.9×",
      isMet: ownAnswered <= 0.9 * composeAnswered,
    },
    {
      figure: `${NODES} → ${NODES + 1} until it answers, less an empty run`,
      own: seconds(ownOne),
      against: `docker-compose: ${seconds(composeOne)}`,
      ratio: times(ownOne / composeOne),
      aim: "≤ 0.9×",
      isMet: ownOne <= 0.9 * composeOne,
    },
  ];
  const list = (values: number[]) => values.map((value) => value.toFixed(2)).join(", ");
  const rows = (
    [
      ["this lab", own],
      ["docker-compose", compose],
    ] as const
  ).map(([tool, { all, answered, empty, one }]) => [
    tool,
    ...[all, answered, empty, one].map(list),
  ]);
  const medians = ({ all, answered, empty, one }: Samples) =>
    [all, answered, empty, one].map((values) => Number(median(values).toFixed(2)));
  return {
    comparisons,
    tables: [
      {
        title: `Seconds in each of ${ROUNDS} rounds:`,
        header: ["", `0 → ${NODES}`, "all answered", "nothing to do", "one more answers"],
        rows: [...rows, ["bare docker run", list(bare), "", "", ""]],
      },
    ],
    plots: [
      {
        file: "deploy",
        title: "Deploying and scaling",
        unit: "s",
        kind: "bars",
        categories: [`0 → ${NODES}`, "all answered", "nothing to do", "one more answers"],
        series: [
          { name: "this lab", values: medians(own) },
          { name: "docker-compose", values: medians(compose) },
          { name: "bare docker run", values: [Number(bareAll.toFixed(2))] },
        ],
      },
    ],
    notes: [
      "The up ends when HAProxy has checked every node; a bare `docker run` ends when its process " +
        "has begun, and its nodes answer nobody: there is no configuration.",
      "docker-compose runs the same images without s6 and Serf; its HAProxy finds up to 200 nodes " +
        "in Docker's DNS (bench/peers).",
    ],
  };
}

/** @param progress called with a line for a person who waits */
export async function benchDeploy(progress: (line: string) => void): Promise<Report> {
  const [own, compose] = [noSamples(), noSamples()];
  const bare: number[] = [];
  const lab = await LabCheckout.create("bench-deploy");
  try {
    await lab.configure("nodePorts", 0);
    // Builds the images.
    await lab.scale(1);
    const destroy = ["destroy", "--yes", "--skip-preview", "--stack", lab.stack];
    for (let round = 1; round <= ROUNDS; round++) {
      progress(`round ${round} of ${ROUNDS}`);
      await lab.succeed(...destroy);
      await takeOwn(own, lab);
      await takeCompose(compose, lab, progress);
      const byHand = await describeByHand(lab);
      await lab.succeed(...destroy);
      await takeBare(bare, byHand);
    }
  } finally {
    await lab.remove();
  }
  return toReport(own, compose, bare);
}
