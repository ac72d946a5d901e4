/** What a person does about a container of the lab that does not run. */

/** Docker's words for a container that stands still until somebody does something about it. */
export const STILL: readonly string[] = ["created", "exited", "dead", "paused"];

/**
 * @param name its name on the engine
 * @param state Docker's word: exited, created, dead, paused, …
 * @param stack the stack whose lab it belongs to
 * @returns what is wrong and the commands that help, as the end of a sentence
 */
export function describeStopped(name: string, state: string, stack: string): string {
  const way =
    state === "paused"
      ? `docker unpause ${name}`
      : `npx pulumi up --refresh --stack ${stack} (or, as it was: docker start ${name})`;
  return `does not run, its container ${name} is ${state}; start it with: ${way}`;
}
