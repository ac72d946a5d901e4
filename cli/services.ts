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

/**
 * @throws UsageError that names the members there are
 * @throws Error if this one's container does not run, or runs on another engine of a Swarm
 */
export function chooseMember(name: string, { stack, containers }: Lab): LabContainer {
  const member = containers.find((it) => it.name === name);
  if (member === undefined) {
    const there = containers.map((it) => it.name).join(", ") || "none";
    throw new UsageError(`stack ${stack} has no member ${name}; there is: ${there}`);
  }
  const { containerName, engine, isElsewhere, state } = member;
  if (state !== "running") {
    throw new Error(`${name} does not run: its container ${containerName} is ${state}`);
  }
  if (isElsewhere) {
    const find = `docker ps -q --filter name=^${containerName}\\.`;
    throw new Error(
      `${name} runs on engine ${engine}, where its processes are reached with: ` +
        `docker exec $(${find}) s6-svc -r /etc/s6/SERVICE`,
    );
  }
  return member;
}

/** @throws UsageError that names the services there are */
export function chooseService(name: string, member: string, services: Service[]): Service {
  const service = services.find((it) => it.name === name);
  if (service !== undefined) return service;
  const there = services.map((it) => it.name).join(", ");
  throw new UsageError(`${member} has no service ${name}; there is: ${there}`);
}
