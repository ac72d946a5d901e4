/** What `npm run service` reads and decides, as functions on plain data. */
import type { Lab, LabContainer } from "../state/inventory";
import { UsageError } from "./command";

/** One process that s6 keeps running in a container. */
export interface Service {
  name: string;
  isUp: boolean;
  /** -1 when it is down. */
  pid: number;
  /** How long it is up or down, s. */
  seconds: number;
}

/** Shell: name and `s6-svstat -o up,pid,updownfor` of each service, a line each. */
export const LIST_SERVICES =
  'cd /etc/s6 && for service in *; do echo "$service $(s6-svstat -o up,pid,updownfor "$service")"; done';

/** Reads what {@link LIST_SERVICES} prints. */
export function parseServices(text: string): Service[] {
  return text
    .trim()
    .split("\n")
    .map((line) => {
      const [name, isUp, pid, seconds] = line.split(" ");
      return { name, isUp: isUp === "true", pid: Number(pid), seconds: Number(seconds) };
    });
}

/** @throws UsageError that names the members there are, or says that this one's container does not run */
export function chooseMember(name: string, { stack, containers }: Lab): LabContainer {
  const member = containers.find((it) => it.name === name);
  if (member === undefined) {
    const there = containers.map((it) => it.name).join(", ") || "none";
    throw new UsageError(`stack ${stack} has no member ${name}; there is: ${there}`);
  }
  if (member.state === "running") return member;
  throw new Error(`${name} does not run: its container ${member.containerName} is ${member.state}`);
}

/** @throws UsageError that names the services there are */
export function chooseService(name: string, member: string, services: Service[]): Service {
  const service = services.find((it) => it.name === name);
  if (service !== undefined) return service;
  const there = services.map((it) => it.name).join(", ");
  throw new UsageError(`${member} has no service ${name}; there is: ${there}`);
}
