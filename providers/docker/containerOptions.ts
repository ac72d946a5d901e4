/**
 * Containers in two languages: the program's and the engine's. Pure translation, both ways.
 */
import { posix } from "node:path";
import type Docker from "dockerode";
import { formatDuration, parseDuration } from "./duration";
import { LABELS, Label, Properties, Shape, Values, toLabelMap, withoutNotes } from "./properties";

export interface ContainerInputs extends Values {
  name: string;
  image: string;
  hostname?: string;
  command?: string[];
  envs?: string[];
  labels?: Label[];
  networkMode: string;
  networksAdvanced?: Attachment[];
  ports?: Port[];
  restart: string;
  memory?: number;
  memorySwap?: number;
  capabilities?: { adds?: string[]; drops?: string[] };
  securityOpts?: string[];
  init?: boolean;
  logDriver?: string;
  logOpts?: Record<string, string>;
  healthcheck?: Healthcheck;
  wait?: boolean;
  waitTimeout: number;
  start: boolean;
  mustRun: boolean;
  removeVolumes: boolean;
  destroyGraceSeconds?: number;
  stopTimeout?: number;
  uploads?: Upload[];
  volumes?: VolumeMount[];
  sysctls?: Record<string, string>;
}

export interface Attachment {
  name: string;
  aliases?: string[];
  ipv4Address?: string;
}

interface Port {
  internal: number;
  external?: number;
  ip: string;
  protocol: string;
}

interface Healthcheck {
  tests?: string[];
  interval: string;
  timeout: string;
  startPeriod: string;
  startInterval: string;
  retries?: number;
}

export interface Upload {
  file: string;
  content: string;
  permissions?: string;
}

interface VolumeMount {
  volumeName: string;
  containerPath: string;
}

const STRINGS: Shape = { set: "string" };
const NO_TIME = { shape: "duration", default: "0s" } as const;

export const CONTAINER: Properties = {
  name: { shape: "string", required: true },
  image: { shape: "string", required: true },
  hostname: { shape: "string", computed: true },
  command: { shape: { list: "string" }, computed: true },
  envs: { shape: STRINGS, computed: true },
  labels: { shape: LABELS, computed: true },
  networkMode: { shape: "string", default: "bridge" },
  networksAdvanced: {
    shape: {
      set: {
        object: {
          name: { shape: "string", required: true },
          aliases: { shape: STRINGS },
          ipv4Address: { shape: "string" },
        },
      },
    },
  },
  ports: {
    shape: {
      set: {
        object: {
          internal: { shape: "number", required: true },
          external: { shape: "number", computed: true },
          ip: { shape: "string", default: "0.0.0.0" },
          protocol: { shape: "string", default: "tcp" },
        },
      },
    },
  },
  restart: { shape: "string", default: "no", inPlace: true },
  memory: { shape: "number", inPlace: true },
  memorySwap: { shape: "number", inPlace: true },
  capabilities: { shape: { object: { adds: { shape: STRINGS }, drops: { shape: STRINGS } } } },
  securityOpts: { shape: STRINGS, computed: true },
  init: { shape: "boolean", inPlace: true, computed: true },
  logDriver: { shape: "string", computed: true },
  logOpts: { shape: { map: "string" } },
  healthcheck: {
    shape: {
      object: {
        tests: { shape: { list: "string" }, required: true },
        interval: NO_TIME,
        timeout: NO_TIME,
        startPeriod: NO_TIME,
        startInterval: NO_TIME,
        retries: { shape: "number" },
      },
    },
    inPlace: true,
    computed: true,
  },
  wait: { shape: "boolean", inPlace: true },
  waitTimeout: { shape: "number", default: 60, inPlace: true },
  start: { shape: "boolean", default: true, inPlace: true },
  mustRun: { shape: "boolean", default: true, inPlace: true },
  removeVolumes: { shape: "boolean", default: true, inPlace: true },
  destroyGraceSeconds: { shape: "number", inPlace: true },
  stopTimeout: { shape: "number", computed: true },
  uploads: {
    shape: {
      set: {
        object: {
          file: { shape: "string", required: true },
          content: { shape: "string", required: true },
          permissions: { shape: "octal" },
        },
      },
    },
  },
  volumes: {
    shape: {
      set: {
        object: {
          volumeName: { shape: "string", required: true },
          containerPath: { shape: "string", required: true },
        },
      },
    },
  },
  sysctls: { shape: { map: "string" } },
  containerReadRefreshTimeoutMilliseconds: { shape: "number", default: 15000, inPlace: true },
};

const MEBIBYTE = 1024 * 1024;

/** What to create. The networks in `networksAdvanced` are connected afterwards. */
export function toCreateOptions(inputs: ContainerInputs): Docker.ContainerCreateOptions {
  return {
    name: inputs.name,
    Image: inputs.image,
    Hostname: inputs.hostname,
    Cmd: inputs.command,
    Env: inputs.envs,
    Labels: toLabelMap(inputs.labels),
    StopTimeout: inputs.stopTimeout,
    Healthcheck: inputs.healthcheck && toHealthConfig(inputs.healthcheck),
    ExposedPorts: toMap(inputs.ports, portKey, () => ({})),
    Volumes: toMap(
      inputs.volumes,
      ({ containerPath }) => containerPath,
      () => ({}),
    ),
    HostConfig: {
      NetworkMode: inputs.networkMode,
      PortBindings: toPortBindings(inputs.ports),
      ...toUpdateOptions(inputs),
      CapAdd: inputs.capabilities?.adds,
      CapDrop: inputs.capabilities?.drops,
      SecurityOpt: inputs.securityOpts,
      Init: inputs.init,
      Sysctls: inputs.sysctls,
      LogConfig: { Type: inputs.logDriver ?? "", Config: inputs.logOpts ?? {} },
      Binds: inputs.volumes?.map(
        ({ volumeName, containerPath }) => `${volumeName}:${containerPath}:rw`,
      ),
    },
  };
}

/** What the engine can change in a running container. */
export function toUpdateOptions(inputs: ContainerInputs) {
  const { memorySwap } = inputs;
  return {
    RestartPolicy: { Name: inputs.restart },
    Memory: (inputs.memory ?? 0) * MEBIBYTE,
    // -1 means unlimited.
    MemorySwap: memorySwap && (memorySwap > 0 ? memorySwap * MEBIBYTE : memorySwap),
  };
}

/** How the container takes part in one network. */
export function toEndpoint(attachment: Attachment) {
  return { Aliases: attachment.aliases, IPAMConfig: { IPv4Address: attachment.ipv4Address } };
}

function toMap<Item, Value>(
  items: Item[] | undefined,
  key: (item: Item) => string,
  value: (item: Item) => Value,
): Record<string, Value> | undefined {
  return items && Object.fromEntries(items.map((item) => [key(item), value(item)]));
}

function portKey({ internal, protocol }: Port): string {
  return `${internal}/${protocol}`;
}

function toPortBindings(ports: Port[] | undefined): Docker.PortMap | undefined {
  return toMap(ports, portKey, (port) =>
    ports!
      .filter((other) => portKey(other) === portKey(port))
      .map(({ ip, external }) => ({ HostIp: ip, HostPort: external ? String(external) : "" })),
  );
}

function toHealthConfig(healthcheck: Healthcheck): Docker.HealthConfig {
  return {
    Test: healthcheck.tests,
    Interval: parseDuration(healthcheck.interval),
    Timeout: parseDuration(healthcheck.timeout),
    StartPeriod: parseDuration(healthcheck.startPeriod),
    // Engines before API 1.44 refuse a start interval, so that none is not sent at all.
    StartInterval: parseDuration(healthcheck.startInterval) || undefined,
    Retries: healthcheck.retries,
  };
}

/** Where a file goes and how; it is root's. */
export function toUploadedFile({ file, content, permissions }: Upload) {
  return {
    name: posix.relative("/", posix.resolve("/", file)),
    mode: permissions ? parseInt(permissions, 8) : 0o644,
    content: Buffer.from(content),
  };
}

/** The engine's answer, with what its types leave out. */
export type ContainerInfo = Docker.ContainerInspectInfo & {
  Config: { StopSignal?: string; StopTimeout?: number };
  NetworkSettings: { Bridge?: string };
};

/**
 * What the engine says, in the program's words. Some things can't be read back, such as what was
 * uploaded; the engine mixes others with the image's, such as labels. They are taken from the
 * inputs.
 */
export function toContainerState(info: ContainerInfo, inputs: Values): Values {
  const known = withoutNotes(inputs);
  const { Config: config, HostConfig: host, NetworkSettings: networks, State: state } = info;
  const mebibytes = (bytes: number | undefined) => Math.floor((bytes ?? 0) / MEBIBYTE);
  const swap = host.MemorySwap ?? 0;
  const logOpts = (host.LogConfig?.Config ?? {}) as Record<string, string>;
  return {
    ...NOT_IMPLEMENTED,
    // Lets the official plugin take the state over.
    __meta: META,
    id: info.Id,
    name: info.Name.replace(/^\//, ""),
    image: info.Image,
    hostname: config.Hostname,
    user: config.User,
    workingDir: config.WorkingDir,
    command: config.Cmd ?? [],
    entrypoints: [config.Entrypoint ?? []].flat(),
    envs: known.envs ?? [],
    labels: known.labels ?? [],
    networkMode: host.NetworkMode,
    networksAdvanced: ((known.networksAdvanced ?? []) as Attachment[]).map((attachment) => ({
      ...NO_ATTACHMENT,
      ...attachment,
    })),
    networkDatas: Object.entries(networks.Networks).map(([networkName, endpoint]) => ({
      networkName,
      ipAddress: endpoint.IPAddress,
      ipPrefixLength: endpoint.IPPrefixLen,
      gateway: endpoint.Gateway,
      globalIpv6Address: endpoint.GlobalIPv6Address,
      globalIpv6PrefixLength: endpoint.GlobalIPv6PrefixLen,
      ipv6Gateway: endpoint.IPv6Gateway,
      macAddress: endpoint.MacAddress,
    })),
    bridge: networks.Bridge ?? "",
    ports: toPorts(networks.Ports),
    restart: host.RestartPolicy?.Name,
    memory: mebibytes(host.Memory),
    memorySwap: swap > 0 ? mebibytes(swap) : swap,
    capabilities: host.CapAdd || host.CapDrop ? toCapabilities(host) : null,
    securityOpts: host.SecurityOpt ?? [],
    init: host.Init ?? false,
    ipcMode: host.IpcMode,
    runtime: host.Runtime,
    usernsMode: host.UsernsMode ?? "",
    logDriver: host.LogConfig?.Type,
    logOpts: Object.keys(logOpts).length > 0 ? logOpts : null,
    healthcheck: config.Healthcheck ? toHealthcheck(config.Healthcheck) : null,
    wait: known.wait ?? false,
    waitTimeout: known.waitTimeout,
    start: known.start,
    // A container that was stopped is one that `mustRun` has to be set for again.
    mustRun: known.mustRun === true && state.Running,
    exitCode: state.Running ? null : state.ExitCode,
    removeVolumes: known.removeVolumes,
    destroyGraceSeconds: known.destroyGraceSeconds ?? null,
    stopSignal: config.StopSignal ?? "",
    stopTimeout: config.StopTimeout ?? 0,
    uploads: known.uploads ?? [],
    volumes: ((known.volumes ?? []) as VolumeMount[]).map((volume) => ({
      ...NO_VOLUME,
      ...volume,
    })),
    shmSize: mebibytes(host.ShmSize),
    sysctls: host.Sysctls ?? null,
    containerReadRefreshTimeoutMilliseconds: known.containerReadRefreshTimeoutMilliseconds,
  };
}

/** Outputs that only the engine knows, unknown in a preview of a new container. */
export const COMPUTED_OUTPUTS = ["bridge", "networkDatas", "exitCode", "containerLogs", "ipcMode"];

const META =
  '{"e2bfb730-ecaa-11e6-8f88-34363bc7c4c0":{"create":1200000000000,"delete":1200000000000,' +
  '"update":1200000000000},"schema_version":"2"}';

/** What the official plugin records of the properties that this one refuses. */
const NOT_IMPLEMENTED: Values = {
  attach: false,
  cgroupParent: null,
  cgroupnsMode: null,
  containerLogs: null,
  cpuPeriod: null,
  cpuQuota: null,
  cpuSet: "",
  cpuShares: 0,
  cpus: null,
  deviceReadBps: [],
  deviceReadIops: [],
  deviceRequests: [],
  deviceWriteBps: [],
  deviceWriteIops: [],
  devices: [],
  dns: null,
  dnsOpts: null,
  dnsSearches: null,
  domainname: "",
  gpus: null,
  groupAdds: null,
  hosts: [],
  logs: false,
  maxRetryCount: 0,
  memoryReservation: 0,
  mounts: [],
  pidMode: null,
  platform: "linux",
  privileged: false,
  publishAllPorts: false,
  readOnly: false,
  rm: false,
  stdinOpen: false,
  storageOpts: null,
  tmpfs: null,
  tty: false,
  ulimits: [],
};

const NO_ATTACHMENT = {
  aliases: [],
  driverOpts: [],
  gwPriority: null,
  ipv4Address: "",
  ipv6Address: "",
  linkLocalIps: [],
  macAddress: "",
};

const NO_VOLUME = {
  fromContainer: "",
  hostPath: "",
  readOnly: null,
  selinuxRelabel: "",
};

function toCapabilities({ CapAdd, CapDrop }: Docker.HostConfig) {
  return { adds: (CapAdd ?? []) as string[], drops: (CapDrop ?? []) as string[] };
}

function toPorts(ports: Docker.PortMap | undefined): Port[] {
  return Object.entries(ports ?? {})
    .map(([key, bindings]) => ({ key: key.split("/"), bindings: bindings ?? [] }))
    .sort((a, b) => Number(a.key[0]) - Number(b.key[0]))
    .flatMap(({ key: [internal, protocol], bindings }) =>
      bindings.map(({ HostIp, HostPort }: { HostIp?: string; HostPort?: string }) => ({
        internal: Number(internal),
        external: Number(HostPort),
        ip: HostIp ?? "",
        protocol,
      })),
    );
}

function toHealthcheck(config: Docker.HealthConfig): Healthcheck {
  const { StartInterval } = config as { StartInterval?: number };
  return {
    tests: config.Test ?? [],
    interval: formatDuration(config.Interval),
    timeout: formatDuration(config.Timeout),
    startPeriod: formatDuration(config.StartPeriod),
    startInterval: formatDuration(StartInterval),
    retries: config.Retries ?? 0,
  };
}
