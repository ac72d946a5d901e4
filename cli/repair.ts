/**
 * `npm run repair`: clears away what an interrupted update left, so that the next one completes.
 * What a state records is never touched, so a lab that runs keeps serving.
 */
import { readBackend } from "../state/backend";
import { mendRecords } from "../state/halfWritten";
import { locateLocks, whileHolding } from "../state/locks";
import { endOrphans } from "../state/orphans";
import { listUnfinished, readDeployment, type PastUpdate } from "../state/records";
import { removeUnrecorded, type StackRecords } from "../state/unrecorded";
import { readPulumi, runPulumi } from "./runPulumi";
import { parseCommand, runCommand } from "./command";
import { chooseStack } from "./stack";

const say = (line: string) => console.log(line);

/** So many past updates are looked at for the making of something that no state records. */
const RECENT_UPDATES = "10";

/**
 * Clears the locks of dead processes, what still runs of their updates, the containers and the
 * unused network that no state records and the record of unfinished operations; says each thing
 * that it does. Can be run again at any time, also after it was itself interrupted.
 *
 * @param asked name of the stack; without one the selected stack, else `dev`
 * @throws if something else holds the stack, saying what to do; if there is no such stack
 */
export async function repair(asked?: string): Promise<void> {
  // The launcher need not recommend what is being done.
  process.env.LAB_REPAIR = "running";
  const backend = readBackend();
  // Before anything is asked of Pulumi, which can't list the stacks while one has such records.
  const mended = backend.folder !== undefined && mendRecords(backend.folder);
  const stack = chooseStack(asked);
  const repaired =
    backend.folder === undefined
      ? await repairElsewhere(stack, backend.project, backend.url)
      : await repairFiles(stack, backend.project, locateLocks(stack, backend));
  say(
    repaired || mended
      ? `Stack ${stack} is repaired; the next update completes what was interrupted.`
      : `Nothing to repair: no update of stack ${stack} was interrupted.`,
  );
}

async function repairFiles(stack: string, project: string, locks: string): Promise<boolean> {
  const { found, records } = await whileHolding(locks, stack, async (unlocked) => {
    const ended = await endOrphans();
    const records = readRecords(stack, project);
    const removed = await removeUnrecorded(stack, records);
    return { found: unlocked || ended || removed, records };
  });
  // Last, for it ends what shows that there is something to repair.
  return (await refreshAfterInterruption(stack, records, found)) || found;
}

async function repairElsewhere(stack: string, project: string, url: string): Promise<boolean> {
  say(
    `The locks of ${url} can't be judged from here; if one is left of an update that is over, ` +
      `run: npx pulumi cancel --stack ${stack}`,
  );
  const ended = await endOrphans();
  const records = readRecords(stack, project);
  // Pulumi refuses while another command holds the stack; without that nothing is removed.
  const refreshed = await refreshAfterInterruption(stack, records, ended);
  if (refreshed) await removeUnrecorded(stack, records);
  return refreshed;
}

function readRecords(stack: string, project: string): StackRecords {
  const deployment = readDeployment(stack);
  const recent = ["--page-size", RECENT_UPDATES, "--page", "1"];
  const history = readPulumi("stack", "history", ...recent, "--stack", stack) as PastUpdate[];
  return { deployment, history, project };
}

/**
 * Lets Pulumi drop the unfinished operations and read what the finished ones did: an update or a
 * removal that was not recorded would be taken as not done.
 */
async function refreshAfterInterruption(
  stack: string,
  { deployment, history }: StackRecords,
  wasRepaired: boolean,
): Promise<boolean> {
  const unfinished = listUnfinished(deployment);
  const last = history[0]?.result ?? "succeeded";
  if (unfinished.length === 0 && last === "succeeded" && !wasRepaired) return false;
  if (unfinished.length > 0) {
    say(`Clearing the record of unfinished operations: ${unfinished.join(", ")}.`);
  }
  say("Reading what the unfinished update did:");
  const options = ["--yes", "--skip-preview", "--clear-pending-creates", "--suppress-progress"];
  await runPulumi("refresh", ...options, "--stack", stack);
  return true;
}

const USAGE = `usage: npm run repair [-- --stack NAME]

Clears away what an interrupted update left, so that the next one completes. A lab that runs keeps serving.

  --stack NAME  the lab's stack; the selected one without it`;

if (require.main === module) {
  const options = { stack: { type: "string" } } as const;
  runCommand(() => repair(parseCommand(USAGE, { options }).values.stack));
}
