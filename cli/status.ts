/**
 * `npm run status [-- --stack NAME]`: each node as it is declared, in gossip, in /nodes, in
 * haproxy.cfg and in HAProxy. Ends with 0 when all agree.
 */
import { parseArgs } from "node:util";
import { findLab, readCluster, requireBalancer } from "./lab";
import { chooseStack, runCommand } from "./stack";
import { compareViews } from "./statusPlan";
import { formatTable } from "./table";

async function status(stack: string): Promise<number> {
  const lab = await findLab(stack);
  const cluster = await readCluster(requireBalancer(lab));
  const { header, rows, disagreements } = compareViews(cluster, lab.containers);
  const verdict = disagreements.length > 0 ? disagreements : ["All agree."];
  console.log([...formatTable(header, rows), "", ...verdict].join("\n"));
  return disagreements.length > 0 ? 1 : 0;
}

const options = { stack: { type: "string" } } as const;
runCommand(() => status(chooseStack(parseArgs({ options }).values.stack)));
