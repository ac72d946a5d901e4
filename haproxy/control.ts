import type { Declaration } from "./declaration";

/**
 * What the lab provider and the configurator in `ha` say to each other, over the standard input and
 * output of `configurator call`: one JSON object in, JSON objects out, one a line.
 */
export type ControlRequest =
  { do: "status" } | { do: "push"; declaration: Declaration; deadlineMs: number };

/** Any number of progress lines, then one of the others. */
export type ControlReply =
  { progress: string } | { done: true; status?: ConfigStatus } | { error: string };

/** What the balancer runs on against what it should. */
export interface ConfigStatus {
  /** Text of the declared nodes, rendered in `ha`; absent before the first push. */
  declared?: string;
  /** Text that the configurator makes of the nodes it knows; absent before the first push. */
  expected?: string;
  /** Text of the file on disk, if there is one. */
  live?: string;
}
