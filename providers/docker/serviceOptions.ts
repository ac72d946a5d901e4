/**
 * Services of a Swarm in two languages: the program's and the engine's. Pure translation, both ways.
 */
import type { types } from "@pulumi/docker";
import type { Unwrap } from "@pulumi/pulumi";
import type Docker from "dockerode";
import { formatDuration, parseDuration } from "./duration";
import {
  LABELS,
  Label,
  Properties,
  Property,
  Values,
  fromLabelMap,
  toLabelMap,
} from "./properties";

export interface ServiceInputs extends Values {
  name: string;
  labels?: Label[];
  taskSpec: Unwrap<types.input.ServiceTaskSpec>;
  mode?: Unwrap<types.input.ServiceMode>;
  updateConfig?: Unwrap<types.input.ServiceUpdateConfig>;
  endpointSpec?: Unwrap<types.input.ServiceEndpointSpec>;
  auth?: Unwrap<types.input.ServiceAuth>;
}

const NEEDED: Property = { shape: "string", required: true };
const STRING: Property = { shape: "string" };
const NUMBER: Property = { shape: "number" };
const DURATION: Property = { shape: "duration" };
const STRING_LIST: Property = { shape: { list: "string" } };
const STRING_SET: Property = { shape: { set: "string" } };
const STRING_MAP: Property = { shape: { map: "string" } };

function object(properties: Properties): Property {
  return { shape: { object: properties } };
}

function setOf(properties: Properties): Property {
  return { shape: { set: { object: properties } } };
}

/** Secrets or configs, and where each is in the container. */
function filesOf(kind: "secret" | "config"): Property {
  return setOf({
    [`${kind}Id`]: NEEDED,
    [`${kind}Name`]: STRING,
    fileName: NEEDED,
    fileUid: { ...STRING, default: "0" },
    fileGid: { ...STRING, default: "0" },
    fileMode: { ...NUMBER, default: 0o444 },
  });
}

const CONTAINER_SPEC: Properties = {
  image: NEEDED,
  hostname: STRING,
  commands: STRING_LIST,
  args: STRING_LIST,
  env: STRING_MAP,
  labels: { shape: LABELS, replaces: true },
  capAdds: STRING_LIST,
  capDrops: STRING_LIST,
  secrets: filesOf("secret"),
  configs: filesOf("config"),
  stopSignal: STRING,
  stopGracePeriod: { ...DURATION, computed: true },
  init: { shape: "boolean", computed: true },
  isolation: { ...STRING, default: "default" },
};

const TASK_SPEC: Properties = {
  containerSpec: { ...object(CONTAINER_SPEC), required: true },
  networksAdvanceds: { ...setOf({ id: NEEDED, aliases: STRING_SET }), replaces: true },
  restartPolicy: {
    ...object({ condition: STRING, delay: DURATION, window: DURATION }),
    computed: true,
  },
  placement: {
    ...object({
      constraints: STRING_SET,
      prefs: STRING_SET,
      platforms: setOf({ architecture: NEEDED, os: NEEDED }),
    }),
    computed: true,
  },
  resources: {
    ...object({ limits: object({ memoryBytes: NUMBER, nanoCpus: NUMBER }) }),
    computed: true,
  },
  logDriver: object({ name: NEEDED, options: STRING_MAP }),
};

const PORT: Properties = {
  targetPort: { ...NUMBER, required: true },
  publishedPort: { ...NUMBER, computed: true },
  publishMode: { ...STRING, default: "ingress" },
  protocol: { ...STRING, default: "tcp" },
};

export const SERVICE: Properties = {
  name: NEEDED,
  labels: { shape: LABELS, inPlace: true, computed: true },
  taskSpec: { ...object(TASK_SPEC), required: true, inPlace: true },
  mode: {
    ...object({
      replicated: { ...object({ replicas: { ...NUMBER, default: 1 } }), computed: true },
      global: { shape: "boolean" },
    }),
    inPlace: true,
    computed: true,
  },
  updateConfig: {
    ...object({
      parallelism: { ...NUMBER, default: 1 },
      delay: { ...DURATION, default: "0s" },
      failureAction: { ...STRING, default: "pause" },
      monitor: { ...DURATION, default: "5s" },
      maxFailureRatio: { ...STRING, default: "0.0" },
      order: { ...STRING, default: "stop-first" },
    }),
    inPlace: true,
  },
  endpointSpec: {
    ...object({
      mode: { ...STRING, computed: true },
      ports: { shape: { list: { object: PORT } } },
    }),
    inPlace: true,
    computed: true,
  },
  // With it the engines pull the image. The official plugin replaces the service for another one.
  auth: {
    ...object({ serverAddress: NEEDED, username: STRING, password: STRING }),
    secret: true,
  },
};

/** What a service's tasks are made of: the types of dockerode leave open what kind they are. */
type TaskTemplate = Docker.ContainerTaskSpec;

/** The engine's answer. */
export interface ServiceInfo {
  ID: string;
  Version: { Index: number };
  Spec: Docker.ServiceSpec & { TaskTemplate: TaskTemplate };
  Endpoint?: Docker.Endpoint;
}

/** What the program does not say: it comes from the image, or from the service as it is. */
export interface Kept {
  platforms?: { Architecture: string; OS: string }[];
  /** How often somebody asked for new tasks without a change. */
  forceUpdate?: number;
}

/** What to create, or to make of a service that is there. */
export function toServiceSpec(inputs: ServiceInputs, kept: Kept): ServiceInfo["Spec"] {
  const { taskSpec, mode, updateConfig, endpointSpec } = inputs;
  const { restartPolicy, placement, resources, logDriver } = taskSpec;
  const limits = resources?.limits;
  return {
    Name: inputs.name,
    Labels: toLabelMap(inputs.labels),
    TaskTemplate: {
      ContainerSpec: toContainerSpec(taskSpec.containerSpec),
      Resources: {
        Limits: limits && { MemoryBytes: limits.memoryBytes, NanoCPUs: limits.nanoCpus },
      },
      RestartPolicy: restartPolicy && {
        Condition: restartPolicy.condition,
        Delay: toNanoseconds(restartPolicy.delay),
        MaxAttempts: 0,
        Window: toNanoseconds(restartPolicy.window),
      },
      Placement: {
        Constraints: placement?.constraints,
        Preferences: placement?.prefs?.map((pref) => ({ Spread: { SpreadDescriptor: pref } })),
        Platforms:
          kept.platforms ??
          placement?.platforms?.map(({ architecture, os }) => ({
            Architecture: architecture,
            OS: os,
          })),
      },
      Networks: taskSpec.networksAdvanceds?.map(({ id, aliases }) => ({
        Target: id,
        Aliases: aliases,
      })),
      LogDriver: logDriver && { Name: logDriver.name, Options: logDriver.options },
      ForceUpdate: kept.forceUpdate ?? 0,
    },
    Mode: {
      Replicated: mode?.replicated && { Replicas: mode.replicated.replicas },
      Global: mode?.global ? {} : undefined,
    },
    UpdateConfig: updateConfig && {
      Parallelism: updateConfig.parallelism!,
      Delay: toNanoseconds(updateConfig.delay),
      FailureAction: updateConfig.failureAction,
      Monitor: toNanoseconds(updateConfig.monitor),
      MaxFailureRatio: Number(updateConfig.maxFailureRatio),
      Order: updateConfig.order!,
    },
    EndpointSpec: {
      Mode: endpointSpec?.mode,
      Ports: endpointSpec?.ports?.map((port) => ({
        Protocol: port.protocol as Docker.PortConfig["Protocol"],
        TargetPort: port.targetPort,
        PublishedPort: port.publishedPort,
        PublishMode: port.publishMode as Docker.PortConfig["PublishMode"],
      })),
    },
  };
}

type ContainerSpec = ServiceInputs["taskSpec"]["containerSpec"];

function toContainerSpec(spec: ContainerSpec): TaskTemplate["ContainerSpec"] & object {
  return {
    Image: spec.image,
    Labels: toLabelMap(spec.labels),
    Command: spec.commands,
    Args: spec.args,
    Hostname: spec.hostname,
    // In one order: the engine takes another one for a change of the tasks.
    Env: Object.entries(spec.env ?? {})
      .map(([key, value]) => `${key}=${value}`)
      .sort(),
    // As the official plugin, which sends no time and no init where it is told nothing.
    Init: spec.init ?? false,
    StopSignal: spec.stopSignal,
    StopGracePeriod: toNanoseconds(spec.stopGracePeriod),
    ...{ Healthcheck: {} },
    DNSConfig: {},
    Secrets: spec.secrets?.map((secret) => ({
      SecretID: secret.secretId,
      SecretName: secret.secretName,
      File: toFile(secret),
    })),
    Configs: spec.configs?.map((config) => ({
      ConfigID: config.configId,
      ConfigName: config.configName,
      File: toFile(config),
    })),
    Isolation: spec.isolation,
    CapabilityAdd: spec.capAdds,
    CapabilityDrop: spec.capDrops,
  };
}

interface File {
  fileName: string;
  fileUid?: string;
  fileGid?: string;
  fileMode?: number;
}

function toFile({ fileName, fileUid, fileGid, fileMode }: File) {
  return { Name: fileName, UID: fileUid, GID: fileGid, Mode: fileMode };
}

function toNanoseconds(duration = "0s"): number | undefined {
  return parseDuration(duration);
}

/**
 * What the engine says, in the program's words.
 *
 * @param isRead whether the service was there before; the official plugin then records none where it
 *   recorded nothing of a new one
 * @param auth the program's, which the engine does not tell
 */
export function toServiceState(
  { ID, Spec, Endpoint }: ServiceInfo,
  isRead: boolean,
  auth?: unknown,
): Values {
  const { TaskTemplate: task, Mode: mode } = Spec;
  const endpoint = hasMode(Endpoint)
    ? { ...Endpoint.Spec, Ports: Endpoint.Ports }
    : Spec.EndpointSpec;
  return {
    // Lets the official plugin take the state over.
    __meta: '{"schema_version":"2"}',
    auth: auth ?? null,
    convergeConfig: null,
    rollbackConfig: null,
    id: ID,
    name: Spec.Name,
    labels: fromLabelMap(Spec.Labels),
    taskSpec: {
      containerSpec: toContainerState(task.ContainerSpec ?? {}, isRead),
      forceUpdate: task.ForceUpdate ?? 0,
      logDriver: task.LogDriver
        ? { name: task.LogDriver.Name, options: task.LogDriver.Options ?? null }
        : null,
      networksAdvanceds: (task.Networks ?? []).map(({ Target, Aliases }) => ({
        id: Target,
        name: "",
        aliases: (Aliases ?? []).toSorted(),
        driverOpts: [],
      })),
      placement: toPlacementState(task.Placement ?? {}),
      resources: { limits: toLimitsState(task.Resources?.Limits), reservation: null },
      restartPolicy: task.RestartPolicy
        ? {
            condition: task.RestartPolicy.Condition,
            delay: formatDuration(task.RestartPolicy.Delay),
            maxAttempts: task.RestartPolicy.MaxAttempts ?? 0,
            window: formatDuration(task.RestartPolicy.Window),
          }
        : null,
      runtime: task.Runtime,
    },
    mode: {
      global: mode?.Global !== undefined,
      replicated: mode?.Replicated ? { replicas: mode.Replicated.Replicas } : null,
    },
    updateConfig: Spec.UpdateConfig ? toUpdateState(Spec.UpdateConfig) : null,
    endpointSpec: {
      mode: endpoint?.Mode,
      ports: (endpoint?.Ports ?? []).map((port) => ({
        name: port.Name ?? "",
        protocol: port.Protocol,
        publishMode: port.PublishMode,
        publishedPort: port.PublishedPort,
        targetPort: port.TargetPort,
      })),
    },
  };
}

/** Whether the engine has said how the service is reached, which it does when that is settled. */
export function isReachable({ Spec, Endpoint }: ServiceInfo): boolean {
  return hasMode(Endpoint) || Boolean(Spec.EndpointSpec?.Mode);
}

function hasMode(endpoint: Docker.Endpoint | undefined): endpoint is Docker.Endpoint {
  return Boolean(endpoint?.Spec?.Mode);
}

function toContainerState(spec: Docker.ContainerSpec, isRead: boolean): Values {
  return {
    ...NOT_IMPLEMENTED,
    groups: isRead ? [] : null,
    sysctl: isRead ? {} : null,
    args: spec.Args ?? [],
    capAdds: spec.CapabilityAdd ?? [],
    capDrops: spec.CapabilityDrop ?? [],
    commands: spec.Command ?? [],
    configs: (spec.Configs ?? []).map(({ ConfigID, ConfigName, File }) => ({
      configId: ConfigID,
      configName: ConfigName,
      ...toFileState(File),
    })),
    env: Object.fromEntries((spec.Env ?? []).map((line) => line.split(/=(.*)/s, 2))),
    hostname: spec.Hostname ?? "",
    image: spec.Image,
    init: spec.Init ?? false,
    isolation: spec.Isolation,
    labels: fromLabelMap(spec.Labels),
    secrets: (spec.Secrets ?? []).map(({ SecretID, SecretName, File }) => ({
      secretId: SecretID,
      secretName: SecretName,
      ...toFileState(File),
    })),
    stopGracePeriod: formatDuration(spec.StopGracePeriod),
    stopSignal: spec.StopSignal ?? "",
  };
}

/** What the official plugin records of a container's properties that this one refuses. */
const NOT_IMPLEMENTED: Values = {
  dir: "",
  dnsConfig: { nameservers: null, options: null, searches: null },
  healthcheck: { interval: "0s", retries: 0, startPeriod: "0s", tests: [], timeout: "0s" },
  hosts: [],
  mounts: [],
  privileges: null,
  readOnly: false,
  user: "",
};

function toFileState(file: Docker.SecretReference["File"]): Values {
  return { fileName: file?.Name, fileUid: file?.UID, fileGid: file?.GID, fileMode: file?.Mode };
}

function toPlacementState({ Constraints, Platforms, Preferences }: Docker.Placement): Values {
  return {
    constraints: Constraints ?? [],
    maxReplicas: 0,
    platforms: (Platforms ?? []).map(({ Architecture, OS }) => ({
      architecture: Architecture,
      os: OS,
    })),
    prefs: (Preferences ?? []).map(({ Spread }) => Spread.SpreadDescriptor),
  };
}

function toLimitsState(limits: Docker.ResourceRequirements["Limits"]): Values | null {
  if (limits === undefined) return null;
  return { memoryBytes: limits.MemoryBytes ?? 0, nanoCpus: limits.NanoCPUs ?? 0 };
}

function toUpdateState(config: Docker.UpdateConfig): Values {
  return {
    delay: formatDuration(config.Delay),
    failureAction: config.FailureAction,
    maxFailureRatio: (config.MaxFailureRatio ?? 0).toFixed(1),
    monitor: formatDuration(config.Monitor),
    order: config.Order,
    parallelism: config.Parallelism,
  };
}
