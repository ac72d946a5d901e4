/** The one way to remove a container. */
import type Docker from "dockerode";
import { isNotFound } from "./engine";

/**
 * Removes a container, running or not. One that is gone, or that somebody else is removing at the
 * same time, is removed when this returns.
 *
 * @param v whether its anonymous volumes go too
 */
export async function removeContainer(container: Docker.Container, v = true): Promise<void> {
  try {
    await container.remove({ force: true, v });
  } catch (error) {
    if (isNotFound(error)) return;
    if ((error as { statusCode?: number }).statusCode !== 409) throw error;
    await container.wait({ condition: "removed" }).catch((gone: unknown) => {
      if (!isNotFound(gone)) throw gone;
    });
  }
}
