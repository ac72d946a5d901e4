/** The one way to remove a container, and the images of a throw-away stack. */
import type Docker from "dockerode";
import { connectDocker, isNotFound } from "./connect";

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

/**
 * Removes a throw-away stack's images. By name and not by what its state records: the engine may
 * have finished one after the update that asked for it was cut off.
 *
 * @param names as `imageNames` gives them, the base first
 */
export async function removeImages(names: string[]): Promise<void> {
  for (const name of names.toReversed()) {
    await connectDocker()
      .getImage(name)
      .remove({ force: true })
      .catch((error: Error) => {
        if (!isNotFound(error)) throw error;
      });
  }
}
