import type Docker from "dockerode";

type Networks = Docker.ContainerInfo["NetworkSettings"]["Networks"];
type Attachment = Networks[string];

/** A container's address on a network: the one it was given for good, also while it is stopped. */
export function addressOn({ IPAMConfig, IPAddress }: Attachment): string {
  return (IPAMConfig as { IPv4Address?: string } | null | undefined)?.IPv4Address || IPAddress;
}

/**
 * The networks that a container is on: its own, or those of the container whose network it shares.
 *
 * @param containers all that may be that one
 */
export function networksOf(
  { HostConfig, NetworkSettings }: Docker.ContainerInfo,
  containers: Docker.ContainerInfo[],
): Networks {
  const [kind, id] = HostConfig.NetworkMode.split(":");
  if (kind !== "container") return NetworkSettings.Networks;
  return containers.find(({ Id }) => Id === id)?.NetworkSettings.Networks ?? {};
}
