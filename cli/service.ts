/**
 * `npm run service -- restart s1 serf | list s1 [--stack NAME]`: the processes that s6 keeps running
 * in a container of the lab.
 */
import { connectDocker } from "../docker/connect";
import { runInContainer } from "../docker/exec";
import type { LabContainer } from "../state/inventory";
import { poll } from "../time/poll";
import { findLab } from "./lab";
import {
  chooseMember,
  chooseService,
  LIST_SERVICES,
  parseServices,
  type Service,
} from "./services";
import { parseCommand, runCommand, UsageError } from "./command";
import { chooseStack } from "./stack";
import { formatTable } from "./table";

const USAGE = `usage: npm run service -- restart MEMBER SERVICE | list MEMBER [--stack NAME]

The processes that s6 keeps running in a container of the lab. restart waits until the new one runs.

  --stack NAME  the lab's stack; the selected one without it`;
const RUNNING_WITHIN_MS = 30_000;

/** Runs a command as root: s6's control files are root's. @throws if it does not succeed */
async function run(member: LabContainer, ...command: string[]): Promise<string> {
  const container = connectDocker().getContainer(member.id);
  const { exitCode, stdout, stderr } = await runInContainer(container, command, { user: "root" });
  if (exitCode === 0) return stdout;
  const said = stderr.trim() || stdout.trim() || `exit code ${exitCode}`;
  throw new Error(`${command.join(" ")} in ${member.containerName}: ${said}`);
}

async function listServices(member: LabContainer): Promise<Service[]> {
  return parseServices(await run(member, "sh", "-c", LIST_SERVICES));
}

/** Restarts a service, or starts one that is down, and waits until s6 runs its new process. */
async function restart(member: LabContainer, name: string): Promise<void> {
  const started = Date.now();
  const before = chooseService(name, member.name, await listServices(member));
  // s6 ignores the restart of a service that is down.
  await run(member, "s6-svc", before.isUp ? "-r" : "-u", `/etc/s6/${name}`);
  const look = async () => chooseService(name, member.name, await listServices(member));
  const isNew = ({ isUp, pid }: Service) => isUp && pid !== before.pid;
  const after = await poll(look, isNew, { everyMs: 50, withinMs: RUNNING_WITHIN_MS });
  if (!isNew(after)) {
    throw new Error(
      `${name} of ${member.name} does not run again after ${RUNNING_WITHIN_MS / 1000} s ` +
        `(${after.isUp ? `still pid ${after.pid}` : "down"}); see: docker logs ${member.containerName}`,
    );
  }
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  const was = before.isUp ? `pid ${before.pid}` : "down";
  console.log(
    `${name} of ${member.name} runs again after ${seconds} s: ${was} before, now pid ${after.pid}.`,
  );
}

async function list(member: LabContainer): Promise<void> {
  const services = await listServices(member);
  const rows = services.map(({ name, isUp, pid, seconds }) => [
    name,
    isUp ? "up" : "down",
    isUp ? String(pid) : "-",
    `${seconds} s`,
  ]);
  console.log(formatTable(["service", "state", "pid", "for"], rows).join("\n"));
}

async function main(): Promise<void> {
  const options = { stack: { type: "string" } } as const;
  const { values, positionals } = parseCommand(USAGE, { options, allowPositionals: true });
  const [command, name, service] = positionals;
  const wanted = { restart: 3, list: 2 }[command];
  if (wanted !== positionals.length) throw new UsageError(USAGE);
  const member = chooseMember(name, await findLab(chooseStack(values.stack)));
  return command === "list" ? list(member) : restart(member, service);
}

runCommand(main);
