/** The processes that a killed update leaves running. */
import { connect } from "node:net";
import { join } from "node:path";
import { checkout } from "../cli/setup/places";
import { listProcesses, type Process } from "./processes";

/** A process that serves an update, and the Pulumi engine it works for. */
export interface Helper {
  pid: number;
  /** Host and port. */
  pulumiEngine: string;
}

/**
 * The language hosts and programs of this checkout's updates, of any stack. Both outlive a killed
 * CLI: the host looks for its Pulumi engine every five minutes only, and the program may spin,
 * because it reports that it can't write to its closed stderr to its closed stderr.
 */
export function listHelpers(processes: Process[], checkout: string): Helper[] {
  const host = join(checkout, "cli", "pulumi", "toolchain", "pulumi-language-nodejs");
  return processes.flatMap(({ pid, command }) => {
    const valueOf = (option: string) => {
      const at = command.indexOf(option);
      return at < 0 ? undefined : command[at + 1];
    };
    const pulumiEngine =
      command[0] === host
        ? command.slice(1).find((part) => /:\d+$/.test(part))
        : command.includes("--monitor") && valueOf("--pwd") === checkout
          ? valueOf("--engine")
          : undefined;
    return pulumiEngine === undefined ? [] : [{ pid, pulumiEngine }];
  });
}

/** Ends the helpers of this checkout's updates whose Pulumi engine is gone. @returns whether there were any */
export async function endOrphans(): Promise<boolean> {
  const helpers = listHelpers(listProcesses(), checkout);
  const answers = await Promise.all(helpers.map(({ pulumiEngine }) => isListening(pulumiEngine)));
  const orphans = helpers.filter((_, i) => !answers[i]);
  for (const { pid } of orphans) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      continue; // it ended by itself
    }
    console.log(`Ended process ${pid}, which worked for an update that is gone.`);
  }
  return orphans.length > 0;
}

function isListening(address: string): Promise<boolean> {
  const [, host, port] = /^(.*):(\d+)$/.exec(address)!;
  return new Promise((resolve) => {
    const socket = connect(Number(port), host);
    socket
      .on("error", () => resolve(false))
      .on("connect", () => {
        resolve(true);
        socket.destroy();
      });
  });
}
