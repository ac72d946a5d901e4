/** A review without an engine: what both versions' own code makes of haproxy.cfg. */
import { execFileSync } from "node:child_process";
import type { Findings } from "./markdown";
import type { Source, Sources } from "./sources";

/** Run in a version's folder by its own code, which may know of one balancer only; prints the text. */
const RENDER = `
const values = JSON.parse(process.argv[1]);
const { planTopology } = require("./config/topology");
const { renderHaproxyConfig } = require("./haproxy/render");
const { nodes, appPort, ...topology } = planTopology(values);
const [{ proxy }] = topology.balancers ?? [topology];
const servers = nodes.map(({ name, address }) => ({ name, address, port: appPort }));
const template = require("node:fs").readFileSync("haproxy/haproxy.cfg.hbs", "utf8");
process.stdout.write(renderHaproxyConfig(template, proxy, servers));
`;

/** @throws if a version can't render its own text */
export function renderBoth({ base, head }: Sources): Promise<Findings> {
  const config = { before: render(base), after: render(head) };
  return Promise.resolve({ base, head, config });
}

function render({ name, folder, values }: Source): string {
  const args = [
    "--require",
    "tsx/cjs",
    "--eval",
    RENDER,
    JSON.stringify({ ...values, stack: "dev" }),
  ];
  try {
    return execFileSync(process.execPath, args, {
      cwd: folder,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  } catch (error) {
    const { stderr } = error as { stderr?: string };
    const reason =
      /^\s*(?:\w*Error: .*)$/m.exec(stderr ?? "")?.[0].trim() ?? (error as Error).message;
    throw new Error(`${name} can't render its haproxy.cfg: ${reason}`, { cause: error });
  }
}
