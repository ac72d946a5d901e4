/** How the set-up goes through its steps. */

/** One thing that has to be there. */
export interface Step {
  name: string;
  /** What is there already, in a few words, or undefined. Changes nothing but links. */
  check(): Promise<string | undefined>;
  /**
   * What can be tried on this machine, best first.
   *
   * @throws with what the user can do if there is nothing to try for a reason.
   */
  ways(): Promise<Way[]>;
  /** What the user can do when no way has led there. */
  help: string;
}

/** One way to get it. */
export interface Way {
  /** What it does and why, in one line. */
  does: string;
  run(): Promise<void>;
}

/**
 * Sees to it that a step's thing is there: nothing to do, or the first way after which the check
 * agrees. A way that fails is reported and followed by the next.
 *
 * @throws if no way is left.
 */
export async function complete(step: Step, say: (line: string) => void): Promise<void> {
  const found = await step.check();
  if (found !== undefined) return say(`✓ ${step.name}: ${found}`);
  for (const way of await step.ways()) {
    say(`→ ${step.name}: ${way.does}`);
    const started = Date.now();
    try {
      await way.run();
      const made = await step.check();
      if (made === undefined) throw new Error("it ended well, but the check still finds nothing");
      return say(`✓ ${step.name}: ${made} (${Math.round((Date.now() - started) / 1000)} s)`);
    } catch (error) {
      say(`  ${step.name}: that did not work: ${(error as Error).message}`);
    }
  }
  throw new Error(`${step.name}: ${step.help}`);
}
