import type { SwarmPlan } from "../config/topology";
import { connectDocker, isNotFound } from "../docker/connect";
import { listImages, readDeployment, type RecordedImage } from "../state/records";

/**
 * Looks for images that the stack's state records and that are not on the engine under their name
 * any more, nor in the registry if they were pushed. Pulumi compares with its record alone and would not
 * notice.
 *
 * @param registry where they were pushed to, if they were
 * @returns for each image that was ever missing, by its name in the program, how often: a changed
 *   number makes the next update build it again
 */
export async function countRebuilds(
  stack: string,
  registry?: SwarmPlan["registry"],
): Promise<Record<string, number>> {
  const recorded = listImages(readDeployment(stack));
  if (recorded.length === 0) return {};
  // A pushed image is recorded by its digest. The engine tells only the names that were asked for.
  const isDigest = ({ imageId }: RecordedImage) => imageId.includes("@");
  const digests = recorded.filter(isDigest).map(({ imageId }) => imageId);
  const filters = { reference: [...recorded.map(({ tag }) => tag), ...digests] };
  const found = await connectDocker().listImages({ filters });
  const held = Object.fromEntries(
    found.flatMap(({ Id, RepoTags, RepoDigests }) => [
      ...(RepoTags ?? []).map((tag) => [tag, Id] as const),
      ...(RepoDigests ?? []).map((digest) => [digest, digest] as const),
    ]),
  );
  if (registry !== undefined) {
    // The engine is another one when DOCKER_HOST names another manager; its tasks pull what they need.
    for (const digest of digests.filter((digest) => !(digest in held))) {
      if (await isPushed(digest, registry)) held[digest] = digest;
    }
  }
  return decideRebuilds(recorded, held);
}

/** @throws if the registry can't be asked */
async function isPushed(
  digest: string,
  { server: serveraddress, username, password }: SwarmPlan["registry"],
): Promise<boolean> {
  const authconfig = { serveraddress, username, password };
  try {
    await connectDocker().getImage(digest).distribution({ authconfig });
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

/** @param held id of the image behind each name on the engine */
export function decideRebuilds(
  recorded: RecordedImage[],
  held: Record<string, string>,
): Record<string, number> {
  const counts = recorded.map(({ name, tag, imageId, rebuilds }): [string, number] => [
    name,
    held[tag] === imageId || held[imageId] === imageId ? rebuilds : rebuilds + 1,
  ]);
  return Object.fromEntries(counts.filter(([, count]) => count > 0));
}
