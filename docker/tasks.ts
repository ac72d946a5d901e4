/** The tasks of a Swarm's services: where each runs, and why it does not. */
import type Docker from "dockerode";

/** Swarm's own label on a task's container; its value is the id of the service. */
export const SERVICE_LABEL = "com.docker.swarm.service.id";

/** One attempt of a Swarm to run a container of a service. */
export interface Task {
  service: string;
  /** Swarm's word: running, preparing, rejected, failed, … */
  state: string;
  /** Swarm's or the engine's words, if it has any about what went wrong. */
  error: string;
  /** Host name of its engine; empty while it has none. */
  engine: string;
  /** Whether its engine is the one that was asked. */
  isHere: boolean;
  /** Id of its container, once it has one. */
  container: string;
  /** Its address in each network, by the network's name. */
  addresses: Record<string, string>;
  /** Whether it is made as its service says now, and not as before a change. */
  isCurrent: boolean;
  /** Whether Swarm wants it to run. */
  isWanted: boolean;
}

/** A service, and what has become of its newest tasks. */
export interface ServiceTasks {
  id: string;
  name: string;
  isGlobal: boolean;
  /** Swarm's word for its last change: updating, completed, paused, rollback_started, …; empty without one. */
  update: string;
  /** Those that are wanted, and the newest other one of each engine. */
  tasks: Task[];
  /** The newest that failed of a change that Swarm took back: after it others may have started. */
  takenBack?: Task;
}

/** What of the engine's answers is read here. */
interface TaskInfo {
  ServiceID: string;
  NodeID?: string;
  CreatedAt: string;
  DesiredState: string;
  Spec: { ContainerSpec?: object };
  Status: { State: string; Err?: string; ContainerStatus?: { ContainerID?: string } };
  NetworksAttachments?: { Network: { Spec: { Name: string } }; Addresses?: string[] }[];
}
interface ServiceInfo {
  ID: string;
  Spec: { Name: string; Mode?: { Global?: object }; TaskTemplate: { ContainerSpec?: object } };
  UpdateStatus?: { State?: string };
}
interface NodeInfo {
  ID: string;
  Description?: { Hostname?: string };
}

/**
 * The services of these names or ids, with their tasks; those that there are not are left out.
 *
 * @throws Error with Swarm's words, as when it has no leader
 */
export async function readServices(docker: Docker, names: string[]): Promise<ServiceTasks[]> {
  if (names.length === 0) return [];
  const [services, tasks, nodes, info] = (await Promise.all([
    docker.listServices(),
    docker.listTasks(),
    docker.listNodes(),
    docker.info(),
  ])) as unknown as [ServiceInfo[], TaskInfo[], NodeInfo[], { Swarm?: { NodeID?: string } }];
  const engines = new Map(nodes.map(({ ID, Description }) => [ID, Description?.Hostname ?? ID]));
  return services
    .filter(({ ID, Spec }) => names.includes(ID) || names.includes(Spec.Name))
    .map((service) => describeService(service, tasks, engines, info.Swarm?.NodeID));
}

function describeService(
  { ID, Spec, UpdateStatus }: ServiceInfo,
  all: TaskInfo[],
  engines: Map<string, string>,
  here: string | undefined,
): ServiceTasks {
  const own = all
    .filter(({ ServiceID }) => ServiceID === ID)
    .sort((a, b) => b.CreatedAt.localeCompare(a.CreatedAt));
  const isWanted = ({ DesiredState }: TaskInfo) => ["running", "ready"].includes(DesiredState);
  const seen = new Set<string | undefined>();
  const newest = own.filter((task) => {
    if (isWanted(task)) return true;
    const isNew = !seen.has(task.NodeID);
    seen.add(task.NodeID);
    return isNew;
  });
  const template = JSON.stringify(Spec.TaskTemplate.ContainerSpec);
  const describe = (task: TaskInfo): Task => ({
    service: Spec.Name,
    state: task.Status.State,
    error: task.Status.Err ?? "",
    engine: engines.get(task.NodeID ?? "") ?? "",
    isHere: task.NodeID !== undefined && task.NodeID === here,
    container: task.Status.ContainerStatus?.ContainerID ?? "",
    addresses: Object.fromEntries(
      (task.NetworksAttachments ?? []).map(({ Network, Addresses }) => [
        Network.Spec.Name,
        Addresses?.[0]?.split("/")[0] ?? "",
      ]),
    ),
    isCurrent: JSON.stringify(task.Spec.ContainerSpec) === template,
    isWanted: isWanted(task),
  });
  const update = UpdateStatus?.State ?? "";
  // Others that were to follow it may wait for what it had, such as a port.
  const hasFailed = ({ isCurrent, state }: Task) =>
    !isCurrent && ["failed", "rejected"].includes(state);
  return {
    id: ID,
    name: Spec.Name,
    isGlobal: Spec.Mode?.Global !== undefined,
    update,
    tasks: newest.map(describe),
    takenBack: update.startsWith("rollback") ? own.map(describe).find(hasFailed) : undefined,
  };
}
