/** How the checks name what is in the way. */
import type { LabConfig } from "../config/labConfig";

/** Says whose something is that is not this lab's. */
export function attribute(
  { name, stack }: { name: string; stack?: string },
  own: LabConfig,
): string {
  if (!stack) return name;
  return `${name} of ${stack === own.stack ? "another checkout's " : ""}stack ${stack}`;
}

/** Longest list that a message has. */
const LISTED = 3;

export function list(items: string[]): string {
  const more = items.length - LISTED;
  return [...items.slice(0, LISTED), ...(more > 0 ? [`${more} more`] : [])].join(", ");
}
