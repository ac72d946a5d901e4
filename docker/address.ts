import type Docker from "dockerode";

type Attachment = Docker.ContainerInfo["NetworkSettings"]["Networks"][string];

/** A container's address on a network: the one it was given for good, also while it is stopped. */
export function addressOn({ IPAMConfig, IPAddress }: Attachment): string {
  return (IPAMConfig as { IPv4Address?: string } | null | undefined)?.IPv4Address || IPAddress;
}
