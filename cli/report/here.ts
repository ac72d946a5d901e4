/** What the lab that runs now shows: `npm run report -- --here`. */
import type { Browser } from "playwright-core";
import { shootStatsPage } from "../browser";
import type { Lab } from "../../state/inventory";
import { compareLab, requireBalancers } from "../lab";
import { readPulumi } from "../runPulumi";
import type { Document } from "./document";
import { inspect, listNodeFiles, listRunning, readConfig, readFrom, readLogs } from "./evidence";
import { SERF_LOG } from "./evidence";
import type { Output } from "./output";

const FOLDER = "logs/here";

/** Collects the evidence of a lab, which it does not change, and describes it. */
export async function reportHere(
  lab: Lab,
  browser: Browser,
  output: Output,
  onStep: (what: string) => void,
): Promise<Document> {
  const [balancer] = requireBalancers(lab);
  const { stack } = lab;
  const [containers, elsewhere] = [false, true].map((isElsewhere) =>
    lab.containers.filter((container) => (container.isElsewhere ?? false) === isElsewhere),
  );
  const save = (name: string, content: string | Buffer) =>
    output.save(`${FOLDER}/${name}`, content);

  onStep(`the balancer of stack ${stack}: haproxy.cfg, /nodes, serf.log, stats page`);
  const { header, rows, disagreements } = await compareLab(lab);
  const nodes = await listNodeFiles(balancer);
  const { statsUrl } = readPulumi("stack", "output", "--stack", stack) as { statsUrl: string };
  const asked = readPulumi("config", "get", "statsPassword", "--stack", stack);
  const { value: password } = asked as { value: string };
  const image = save("stats.png", await shootStatsPage(browser, statsUrl, password));
  const files = [
    image,
    save("haproxy.cfg", await readConfig(balancer)),
    save("nodes.txt", nodes.map((name) => `${name}\n`).join("")),
    save("serf.log", await readFrom(balancer, "cat", SERF_LOG)),
    save("docker-ps.txt", await listRunning(containers)),
  ];
  for (const container of containers) {
    onStep(`${container.name}: docker logs, docker inspect`);
    files.push(save(`${container.name}.log`, await readLogs(container)));
    files.push(save(`inspect-${container.name}.json`, await inspect(container)));
  }
  return {
    title: `The lab of stack ${stack}`,
    intro:
      elsewhere.length === 0
        ? "What the lab showed of itself while it ran."
        : `What the lab showed of itself on engine ${balancer.engine} while it ran. Logs and \`docker inspect\` of ` +
          `${elsewhere.map(({ name }) => name).join(", ")} are on their own engines.`,
    sections: [
      {
        title: "As each part sees the nodes",
        blocks: [
          { kind: "table", header, rows },
          { kind: "table", header: ["Do they agree?"], rows: agreement(disagreements) },
          { kind: "image", file: image, title: "HAProxy's stats page" },
        ],
      },
      { title: "Evidence", blocks: [{ kind: "files", files }] },
    ],
  };
}

const agreement = (disagreements: string[]) =>
  (disagreements.length > 0 ? disagreements : ["All agree."]).map((line) => [line]);
