/** Images of an engine. */
import type Docker from "dockerode";
import { connectDocker, isNotFound } from "./connect";

/** Whether an engine has an image. */
export async function hasImage(docker: Docker, image: string): Promise<boolean> {
  try {
    await docker.getImage(image).inspect();
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

/** Gives an engine an image of the one around it. */
export async function copyImage(image: string, engine: Docker): Promise<void> {
  const progress = await engine.loadImage(await connectDocker().getImage(image).get());
  await new Promise<void>((resolve, reject) =>
    engine.modem.followProgress(progress, (error) => (error ? reject(error) : resolve())),
  );
}
