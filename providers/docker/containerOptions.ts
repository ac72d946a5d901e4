/**
 * Containers in two languages: the program's and the engine's. Pure translation, both ways.
 */
import { posix } from "node:path";
import type Docker from "dockerode";
import { LABELS, Label, Properties, Shape, Values, toLabelMap, withoutNotes } from "./properties";

export interface ContainerInputs extends Values {
  name: string;
  image: string;
  hostname?: string;
  domainname?: string;
  user?: string;
  workingDir?: string;
  command?: string[];
  entrypoints?: string[];
  envs?: string[];
  labels?: Label[];
  networkMode: string;
  networksAdvanced?: Attachment[];
  ports?: Port[];
  hosts?: { host: string; ip: string }[];
  dns?: string[];
  dnsOpts?: string[];
  dnsSearches?: string[];
  restart: string;
  maxRetryCount?: number;
  memory?: number;
  memorySwap?: number;
  memoryReservation?: number;
  cpuShares?: number;
  cpuSet?: string;
  capabilities?: { adds?: string[]; drops?: string[] };
  securityOpts?: string[];
  privileged?: boolean;
  readOnly?: boolean;
  init?: boolean;
  logDriver?: string;
  logOpts?: Record<string, string>;
  healthcheck?: Healthcheck;
  wait?: boolean;
  waitTimeout: number;
  start: boolean;
  mustRun: boolean;
  rm?: boolean;
  removeVolumes: boolean;
  destroyGraceSeconds?: number;
  stopSignal?: string;
  stopTimeout?: number;
  uploads?: Upload[];
  volumes?: VolumeMount[];
  mounts?: Mount[];
  tmpfs?: Record<string, string>;
  sysctls?: Record<string, string>;
  shmSize?: number;
  ulimits?: { name: string; soft: number; hard: number }[];
}

export interface Attachment {
  name: string;
  aliases?: string[];
  ipv4Address?: string;
  ipv6Address?: string;
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
  content?: string;
  contentBase64?: string;
  source?: string;
  executable?: boolean;
  permissions?: string;
  owner?: string;
  group?: string;
}

interface VolumeMount {
  containerPath?: string;
  volumeName?: string;
  hostPath?: string;
  fromContainer?: string;
  readOnly?: boolean;
}

interface Mount {
  target: string;
  type: string;
  source?: string;
  readOnly?: boolean;
  tmpfsOptions?: { mode?: number; sizeBytes?: number };
}

const STRINGS: Shape = { set: "string" };
const DURATION = { shape: "string", default: "0s" } as const;

export const CONTAINER: Properties = {
  name: { shape: "string", required: true },
  image: { shape: "string", required: true },
  hostname: { shape: "string", computed: true },
  domainname: { shape: "string" },
  user: { shape: "string", computed: true },
  workingDir: { shape: "string", computed: true },
  command: { shape: { list: "string" }, computed: true },
  entrypoints: { shape: { list: "string" }, computed: true },
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
          ipv6Address: { shape: "string" },
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
  hosts: {
    shape: {
      set: {
        object: {
          host: { shape: "string", required: true },
          ip: { shape: "string", required: true },
        },
      },
    },
  },
  dns: { shape: STRINGS },
  dnsOpts: { shape: STRINGS },
  dnsSearches: { shape: STRINGS },
  restart: { shape: "string", default: "no", inPlace: true },
  maxRetryCount: { shape: "number", inPlace: true },
  memory: { shape: "number", inPlace: true },
  memorySwap: { shape: "number", inPlace: true },
  memoryReservation: { shape: "number", inPlace: true },
  cpuShares: { shape: "number", inPlace: true },
  cpuSet: { shape: "string", inPlace: true },
  capabilities: { shape: { object: { adds: { shape: STRINGS }, drops: { shape: STRINGS } } } },
  securityOpts: { shape: STRINGS, computed: true },
  privileged: { shape: "boolean" },
  readOnly: { shape: "boolean" },
  init: { shape: "boolean", inPlace: true, computed: true },
  logDriver: { shape: "string", computed: true },
  logOpts: { shape: { map: "string" } },
  healthcheck: {
    shape: {
      object: {
        tests: { shape: { list: "string" }, required: true },
        interval: DURATION,
        timeout: DURATION,
        startPeriod: DURATION,
        startInterval: DURATION,
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
  rm: { shape: "boolean", inPlace: true },
  removeVolumes: { shape: "boolean", default: true, inPlace: true },
  destroyGraceSeconds: { shape: "number", inPlace: true },
  stopSignal: { shape: "string", computed: true },
  stopTimeout: { shape: "number", computed: true },
  uploads: {
    shape: {
      set: {
        object: {
          file: { shape: "string", required: true },
          content: { shape: "string" },
          contentBase64: { shape: "string" },
          source: { shape: "string" },
          sourceHash: { shape: "string" },
          executable: { shape: "boolean" },
          permissions: { shape: "string" },
          owner: { shape: "string" },
          group: { shape: "string" },
        },
      },
    },
  },
  volumes: {
    shape: {
      set: {
        object: {
          containerPath: { shape: "string" },
          volumeName: { shape: "string" },
          hostPath: { shape: "string" },
          fromContainer: { shape: "string" },
          readOnly: { shape: "boolean" },
        },
      },
    },
  },
  mounts: {
    shape: {
      set: {
        object: {
          target: { shape: "string", required: true },
          type: { shape: "string", required: true },
          source: { shape: "string" },
          readOnly: { shape: "boolean" },
          tmpfsOptions: {
            shape: { object: { mode: { shape: "number" }, sizeBytes: { shape: "number" } } },
          },
        },
      },
    },
  },
  tmpfs: { shape: { map: "string" }, inPlace: true },
  sysctls: { shape: { map: "string" } },
  shmSize: { shape: "number", computed: true },
  ulimits: {
    shape: {
      set: {
        object: {
          name: { shape: "string", required: true },
          soft: { shape: "number", required: true },
          hard: { shape: "number", required: true },
        },
      },
    },
  },
  containerReadRefreshTimeoutMilliseconds: { shape: "number", default: 15000, inPlace: true },
};

const MEBIBYTE = 1024 * 1024;

/** What to create. The networks in `networksAdvanced` are connected afterwards. */
export function toCreateOptions(inputs: ContainerInputs): Docker.ContainerCreateOptions {
  return {
    name: inputs.name,
    Image: inputs.image,
    Hostname: inputs.hostname,
    Domainname: inputs.domainname,
    User: inputs.user,
    WorkingDir: inputs.workingDir,
    Cmd: inputs.command,
    Entrypoint: inputs.entrypoints,
    Env: inputs.envs,
    Labels: toLabelMap(inputs.labels),
    StopSignal: inputs.stopSignal,
    StopTimeout: inputs.stopTimeout,
    Healthcheck: inputs.healthcheck && toHealthConfig(inputs.healthcheck),
    ExposedPorts: toMap(inputs.ports, portKey, () => ({})),
    Volumes: toMap(
      inputs.volumes?.filter((volume) => volume.containerPath),
      (volume) => volume.containerPath!,
      () => ({}),
    ),
    HostConfig: {
      NetworkMode: inputs.networkMode,
      PortBindings: toPortBindings(inputs.ports),
      ExtraHosts: inputs.hosts?.map(({ host, ip }) => `${host}:${ip}`),
      Dns: inputs.dns,
      DnsOptions: inputs.dnsOpts,
      DnsSearch: inputs.dnsSearches,
      ...toUpdateOptions(inputs),
      CapAdd: inputs.capabilities?.adds,
      CapDrop: inputs.capabilities?.drops,
      SecurityOpt: inputs.securityOpts,
      Privileged: inputs.privileged,
      ReadonlyRootfs: inputs.readOnly,
      Init: inputs.init,
      AutoRemove: inputs.rm,
      LogConfig: { Type: inputs.logDriver ?? "", Config: inputs.logOpts ?? {} },
      Binds: toBinds(inputs.volumes),
      VolumesFrom: inputs.volumes?.flatMap(({ fromContainer }) => fromContainer || []),
      Mounts: inputs.mounts?.map((mount) => ({
        Target: mount.target,
        Source: mount.source ?? "",
        Type: mount.type as Docker.MountType,
        ReadOnly: mount.readOnly,
        TmpfsOptions: mount.tmpfsOptions && {
          Mode: mount.tmpfsOptions.mode ?? 0,
          SizeBytes: mount.tmpfsOptions.sizeBytes ?? 0,
        },
      })),
      Tmpfs: inputs.tmpfs,
      Sysctls: inputs.sysctls,
      ShmSize: inputs.shmSize && inputs.shmSize * MEBIBYTE,
      Ulimits: inputs.ulimits?.map(({ name, soft, hard }) => ({
        Name: name,
        Soft: soft,
        Hard: hard,
      })),
    },
  };
}

/** What the engine can change in a running container. */
export function toUpdateOptions(inputs: ContainerInputs) {
  const { memorySwap } = inputs;
  return {
    RestartPolicy: { Name: inputs.restart, MaximumRetryCount: inputs.maxRetryCount ?? 0 },
    Memory: (inputs.memory ?? 0) * MEBIBYTE,
    // -1 means unlimited.
    MemorySwap: memorySwap && (memorySwap > 0 ? memorySwap * MEBIBYTE : memorySwap),
    MemoryReservation: (inputs.memoryReservation ?? 0) * MEBIBYTE,
    CpuShares: inputs.cpuShares ?? 0,
    CpusetCpus: inputs.cpuSet ?? "",
  };
}

/** How the container takes part in one network. */
export function toEndpoint(attachment: Attachment) {
  return {
    Aliases: attachment.aliases,
    IPAMConfig: { IPv4Address: attachment.ipv4Address, IPv6Address: attachment.ipv6Address },
  };
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

function toBinds(volumes: VolumeMount[] | undefined): string[] | undefined {
  return volumes?.flatMap(({ hostPath, volumeName, containerPath, readOnly }) => {
    const source = hostPath || volumeName;
    return source ? `${source}:${containerPath}:${readOnly ? "ro" : "rw"}` : [];
  });
}

function toHealthConfig(healthcheck: Healthcheck): Docker.HealthConfig {
  // Engines before API 1.44 refuse a start interval, so that none is not sent at all.
  const startInterval = parseDuration(healthcheck.startInterval) || undefined;
  return {
    Test: healthcheck.tests,
    Interval: parseDuration(healthcheck.interval),
    Timeout: parseDuration(healthcheck.timeout),
    StartPeriod: parseDuration(healthcheck.startPeriod),
    StartInterval: startInterval,
    Retries: healthcheck.retries,
  };
}

const NANOSECONDS: Record<string, number> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** Nanoseconds of a Go duration such as `1m30s` or `500ms`; undefined if it is none. */
export function parseDuration(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  const parts = text.matchAll(/([\d.]+)([a-zµ]+)/g);
  return [...parts].reduce((sum, [, amount, unit]) => sum + Number(amount) * NANOSECONDS[unit], 0);
}

/** Nanoseconds as Go writes them, which is how the official plugin records them. */
export function formatDuration(nanoseconds: number): string {
  if (nanoseconds === 0) return "0s";
  if (nanoseconds < 1e9) {
    const unit = nanoseconds < 1e3 ? "ns" : nanoseconds < 1e6 ? "µs" : "ms";
    return `${nanoseconds / NANOSECONDS[unit]}${unit}`;
  }
  const minutes = Math.floor(nanoseconds / 60e9);
  const seconds = `${(nanoseconds % 60e9) / 1e9}s`;
  if (minutes === 0) return seconds;
  return minutes < 60
    ? `${minutes}m${seconds}`
    : `${Math.floor(minutes / 60)}h${minutes % 60}m${seconds}`;
}

/** A file to put into the container, with its mode and numeric owner. */
export interface UploadedFile {
  name: string;
  mode: number;
  uid: number;
  gid: number;
  content: Buffer;
}

/** Where a file goes and how; `read` gives the content of a `source`. */
export function toUploadedFile(upload: Upload, read: (path: string) => Buffer): UploadedFile {
  const content =
    upload.source !== undefined
      ? read(upload.source)
      : upload.contentBase64 !== undefined
        ? Buffer.from(upload.contentBase64, "base64")
        : Buffer.from(upload.content ?? "");
  return {
    name: posix.relative("/", posix.resolve("/", upload.file)),
    mode: upload.permissions ? parseInt(upload.permissions, 8) : upload.executable ? 0o744 : 0o644,
    uid: Number(upload.owner ?? 0),
    gid: Number(upload.group ?? 0),
    content,
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
  const optional = <Value extends object>(value: Value | null | undefined) =>
    value && Object.keys(value).length > 0 ? value : null;
  return {
    ...NOT_IMPLEMENTED,
    // Lets the official plugin take the state over.
    __meta: META,
    id: info.Id,
    name: info.Name.replace(/^\//, ""),
    image: info.Image,
    hostname: config.Hostname,
    domainname: config.Domainname,
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
    hosts: ((host.ExtraHosts ?? []) as string[]).map((entry) => {
      const [, name, ip] = /^([^:]*):(.*)$/.exec(entry) ?? [];
      return { host: name, ip };
    }),
    dns: optional(host.Dns),
    dnsOpts: optional(host.DnsOptions),
    dnsSearches: optional(host.DnsSearch),
    restart: host.RestartPolicy?.Name,
    maxRetryCount: host.RestartPolicy?.MaximumRetryCount ?? 0,
    memory: mebibytes(host.Memory),
    memorySwap: swap > 0 ? mebibytes(swap) : swap,
    memoryReservation: mebibytes(host.MemoryReservation),
    cpuShares: host.CpuShares ?? 0,
    cpuSet: host.CpusetCpus ?? "",
    capabilities: host.CapAdd || host.CapDrop ? toCapabilities(host) : null,
    securityOpts: host.SecurityOpt ?? [],
    privileged: host.Privileged ?? false,
    readOnly: host.ReadonlyRootfs ?? false,
    init: host.Init ?? false,
    ipcMode: host.IpcMode,
    runtime: host.Runtime,
    usernsMode: host.UsernsMode ?? "",
    logDriver: host.LogConfig?.Type,
    logOpts: optional(host.LogConfig?.Config as Record<string, string> | undefined),
    healthcheck: config.Healthcheck ? toHealthcheck(config.Healthcheck) : null,
    wait: known.wait ?? false,
    waitTimeout: known.waitTimeout,
    start: known.start,
    // A container that was stopped is one that `mustRun` has to be set for again.
    mustRun: known.mustRun === true && state.Running,
    exitCode: state.Running ? null : state.ExitCode,
    rm: host.AutoRemove ?? false,
    removeVolumes: known.removeVolumes,
    destroyGraceSeconds: known.destroyGraceSeconds ?? null,
    stopSignal: config.StopSignal ?? "",
    stopTimeout: config.StopTimeout ?? 0,
    uploads: known.uploads ?? [],
    volumes: ((known.volumes ?? []) as VolumeMount[]).map((volume) => ({
      ...NO_VOLUME,
      ...volume,
    })),
    mounts: (host.Mounts ?? []).map((mount) => ({
      target: mount.Target,
      source: mount.Source ?? "",
      type: mount.Type,
      readOnly: mount.ReadOnly ?? false,
      tmpfsOptions: mount.TmpfsOptions
        ? { mode: mount.TmpfsOptions.Mode ?? 0, sizeBytes: mount.TmpfsOptions.SizeBytes ?? 0 }
        : null,
    })),
    tmpfs: optional(host.Tmpfs),
    sysctls: optional(host.Sysctls),
    shmSize: mebibytes(host.ShmSize),
    ulimits: (host.Ulimits ?? []).map(({ Name, Soft, Hard }) => ({
      name: Name,
      soft: Soft,
      hard: Hard,
    })),
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
  cpus: null,
  deviceReadBps: [],
  deviceReadIops: [],
  deviceRequests: [],
  deviceWriteBps: [],
  deviceWriteIops: [],
  devices: [],
  gpus: null,
  groupAdds: null,
  logs: false,
  pidMode: null,
  platform: "linux",
  publishAllPorts: false,
  stdinOpen: false,
  storageOpts: null,
  tty: false,
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
  containerPath: "",
  fromContainer: "",
  hostPath: "",
  readOnly: null,
  selinuxRelabel: "",
  volumeName: "",
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
    interval: formatDuration(config.Interval ?? 0),
    timeout: formatDuration(config.Timeout ?? 0),
    startPeriod: formatDuration(config.StartPeriod ?? 0),
    startInterval: formatDuration(StartInterval ?? 0),
    retries: config.Retries ?? 0,
  };
}
