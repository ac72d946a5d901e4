/** Long enough for events of one moment to come together. */
const SETTLE_MS = 20;
/** Time between two applies of a burst; it doubles up to the longest while the burst lasts. */
const FIRST_PAUSE_MS = 400;
const LONGEST_PAUSE_MS = 3200;

/**
 * Turns triggers into few reconciliations: the first at once, those of a burst further and further
 * apart, so that twenty nodes that start together cost a handful of applies, and one alone does not
 * wait.
 */
export class RateLimiter {
  private timer?: NodeJS.Timeout;
  private readonly reasons = new Set<string>();
  private isWorking = false;
  private notBefore = 0;
  private pause = FIRST_PAUSE_MS;

  /** @param work called with the reasons of all triggers since the last call; its errors are logged */
  constructor(private readonly work: (reason: string) => Promise<void>) {}

  /** Asks for a reconciliation soon. */
  trigger(reason: string): void {
    this.reasons.add(reason);
    this.schedule();
  }

  private schedule(): void {
    // What comes in while work is under way waits for its end, which says when the next may be.
    if (this.isWorking || this.reasons.size === 0) return;
    const wait = Math.max(SETTLE_MS, this.notBefore - Date.now());
    this.timer ??= setTimeout(() => void this.run(), wait);
  }

  private async run(): Promise<void> {
    this.timer = undefined;
    const reasons = [...this.reasons].join(", ");
    this.reasons.clear();
    this.isWorking = true;
    await this.work(reasons).catch((error: Error) => console.error(error.message));
    this.isWorking = false;
    this.schedule();
  }

  /** Says that something was applied, which is what has to stay rare. */
  applied(): void {
    const now = Date.now();
    const isBurst = now < this.notBefore + this.pause;
    this.pause = isBurst ? Math.min(2 * this.pause, LONGEST_PAUSE_MS) : FIRST_PAUSE_MS;
    this.notBefore = now + this.pause;
  }
}
