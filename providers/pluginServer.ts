/**
 * Pulumi's provider protocol on plain objects.
 *
 * `@pulumi/pulumi/provider` has a server too, but it cannot return a detailed diff, without which a
 * preview cannot tell an update in place from a replacement, and it has no way to cancel. This one
 * speaks the same generated protobufs and leaves the resources to plain async functions.
 */
import { setMaxListeners } from "node:events";
import * as grpc from "@grpc/grpc-js";
import { EngineClient } from "@pulumi/pulumi/proto/engine_grpc_pb";
import { LogRequest, LogSeverity } from "@pulumi/pulumi/proto/engine_pb";
import { PluginInfo } from "@pulumi/pulumi/proto/plugin_pb";
import { ResourceProviderService } from "@pulumi/pulumi/proto/provider_grpc_pb";
import * as rpc from "@pulumi/pulumi/proto/provider_pb";
import { Status } from "@pulumi/pulumi/proto/status_pb";
import { Any } from "google-protobuf/google/protobuf/any_pb";
import { Empty } from "google-protobuf/google/protobuf/empty_pb";
import { JavaScriptValue, Struct } from "google-protobuf/google/protobuf/struct_pb";

/** What stands in a preview for a value that only the update will know. */
export const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** Whether a value is not known yet; inputs can hold this at any depth during a preview. */
export function isUnknown(value: unknown): boolean {
  return value === UNKNOWN;
}

/** Whether a value, or anything inside it, is not known yet. */
export function hasUnknown(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return isUnknown(value);
  return Object.values(value).some(hasUnknown);
}

/** Marks a part of the state as a secret, beyond the properties whose inputs are secret. */
export function secret(value: unknown): object {
  return { "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", value };
}

/** The call a resource function is part of. */
export interface Context {
  urn: string;
  /** The resource's name in the program. */
  name: string;
  /** In a preview `create` and `update` touch nothing and give UNKNOWN for what they can't foresee. */
  preview: boolean;
  /** The program's `customTimeouts` for this operation, 0 without one. */
  timeoutSeconds: number;
  /** Aborted when the user cancels or when the Pulumi engine that asked is gone. */
  signal: AbortSignal;
  /** Shows a message at the resource; an ephemeral one only in its status column. */
  log: (
    severity: "debug" | "info" | "warning" | "error",
    message: string,
    ephemeral?: boolean,
  ) => void;
}

export type DiffKind =
  "add" | "add-replace" | "update" | "update-replace" | "delete" | "delete-replace";

export interface Diff {
  changes: boolean;
  /** By property path, such as `envs[1]` or `logOpts["max-size"]`. */
  detailed: Record<string, DiffKind>;
  deleteBeforeReplace?: boolean;
}

export interface CheckFailure {
  property: string;
  reason: string;
}

type Awaitable<T> = T | Promise<T>;

/** One resource type. Inputs and states are plain JSON; properties that are undefined are left out. */
export interface ResourceType<Inputs extends object, State extends object> {
  /** Validates what the program wrote and fills in defaults. `olds` are the last inputs, if any. */
  check(
    news: Inputs,
    olds: Inputs | undefined,
    context: Context,
  ): Awaitable<{ inputs: Inputs; failures: CheckFailure[] }>;
  diff(id: string, state: State, olds: Inputs, news: Inputs, context: Context): Awaitable<Diff>;
  /** Throws PartialFailure when there is something to keep track of although it did not work out. */
  create(inputs: Inputs, context: Context): Awaitable<{ id: string; state: State }>;
  /** The resource as it is now, undefined when it is gone. An import has neither state nor inputs. */
  read(
    id: string,
    state: State | undefined,
    inputs: Inputs | undefined,
    context: Context,
  ): Awaitable<{ id: string; inputs: Inputs; state: State } | undefined>;
  update(id: string, state: State, olds: Inputs, news: Inputs, context: Context): Awaitable<State>;
  delete(id: string, state: State, context: Context): Awaitable<void>;
}

/** A resource that exists but is not as it should be: recorded, and tried again by the next `up`. */
export class PartialFailure extends Error {
  constructor(
    message: string,
    readonly id: string,
    readonly state: object,
  ) {
    super(message);
  }
}

export interface ServerOptions {
  name: string;
  version: string;
  /** By type token, such as `docker:index/container:Container`. */
  resources: Record<string, ResourceType<object, object>>;
  /** Validates the settings of the provider itself, which the program or the stack's config gives. */
  checkConfig?: (settings: Record<string, unknown>) => CheckFailure[];
}

/**
 * Serves the resources to the Pulumi engine that started this process, until that ends it or is
 * gone. Prints the port it listens on, as that expects.
 *
 * @throws if the process was not started by a Pulumi engine, which passes its address.
 */
export function serve(options: ServerOptions): void {
  const engineAddress = process.argv.slice(2).at(-1);
  if (engineAddress === undefined) {
    throw new Error(`${options.name}: the Pulumi engine starts this plugin and passes its address`);
  }
  const pulumiEngine = new EngineClient(engineAddress, grpc.credentials.createInsecure());
  const server = new grpc.Server(UNLIMITED_MESSAGES);
  const calls = new Calls();
  server.addService(ResourceProviderService, implement(options, pulumiEngine, calls));
  server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
    if (error) throw error;
    console.log(String(port));
  });

  // The Pulumi engine asks with SIGINT. When it was killed it can't, but then its end of stdin closes.
  // Either way a call under way gets the time to take back what it has half made, and to say so.
  const stop = async () => {
    setTimeout(() => process.exit(1), STOP_DEADLINE_MS);
    calls.cancel();
    await calls.settle();
    // Lets the last answers out. The Pulumi engine may keep its connection open without a call, which
    // is nothing to wait for: the CLI would stand still for the 5 s that it gives a plugin to end.
    server.tryShutdown(() => process.exit(0));
    setTimeout(() => process.exit(0), DRAIN_MS);
  };
  process.on("SIGINT", () => void stop());
  process.on("SIGTERM", () => void stop());
  process.stdin
    .on("end", () => void stop())
    .on("error", () => void stop())
    .resume();
}

const UNLIMITED_MESSAGES = {
  "grpc.max_receive_message_length": -1,
  "grpc.max_send_message_length": -1,
};

/** How long calls under way may take to stop before the process ends. */
const STOP_DEADLINE_MS = 10_000;

/** How long the last answers may take to get out. */
const DRAIN_MS = 100;

/** The calls under way. */
class Calls {
  private readonly controller = new AbortController();
  private readonly running = new Set<Promise<unknown>>();
  readonly signal = this.controller.signal;

  constructor() {
    setMaxListeners(0, this.signal);
  }

  add(call: Promise<unknown>): void {
    const settled = call.catch(() => undefined).finally(() => this.running.delete(settled));
    this.running.add(settled);
  }

  cancel(): void {
    this.controller.abort(new Error("cancelled"));
  }

  async settle(): Promise<void> {
    await Promise.all(this.running);
  }
}

function implement(
  options: ServerOptions,
  pulumiEngine: EngineClient,
  calls: Calls,
): grpc.UntypedServiceImplementation {
  /** On their way to the Pulumi engine, which shows a message only while its resource's call lasts. */
  const messages = new Set<Promise<void>>();

  const context = (request: CallRequest): Context => ({
    urn: request.getUrn(),
    name: parseUrn(request.getUrn()).name,
    preview: request.getPreview?.() ?? false,
    timeoutSeconds: request.getTimeout?.() ?? 0,
    signal: calls.signal,
    log: (severity, message, ephemeral = false) => {
      const entry = new LogRequest()
        .setSeverity(SEVERITIES[severity])
        .setMessage(message)
        .setUrn(request.getUrn())
        .setEphemeral(ephemeral);
      const shown = new Promise<void>((resolve) => {
        // A message that can't be shown is no reason to fail the operation that it is about.
        pulumiEngine.log(entry, () => resolve());
      }).finally(() => messages.delete(shown));
      messages.add(shown);
    },
  });

  const typeOf = (request: CallRequest) => {
    const { type } = parseUrn(request.getUrn());
    const resource = options.resources[type];
    if (resource === undefined) {
      throw new Error(
        `${type} is not implemented by this "${options.name}" plugin; it has ` +
          Object.keys(options.resources).join(", "),
      );
    }
    return resource;
  };

  function unary<Request, Response>(
    work: (request: Request) => Awaitable<Response>,
  ): grpc.handleUnaryCall<Request, Response> {
    return (call, callback) => {
      const answer = Promise.resolve(call.request)
        .then(work)
        .finally(() => Promise.all(messages));
      calls.add(answer);
      answer.then(
        (response) => callback(null, response),
        (error: unknown) => callback(toServiceError(error)),
      );
    };
  }

  return {
    getPluginInfo: unary(() => new PluginInfo().setVersion(options.version)),
    getSchema: unary(() => new rpc.GetSchemaResponse().setSchema("{}")),
    // Without acceptSecrets the Pulumi engine takes secrets out of what it sends and marks them again
    // in what it gets back, so that no resource has to handle them.
    configure: unary(() => new rpc.ConfigureResponse().setSupportspreview(true)),
    checkConfig: unary((request: rpc.CheckRequest) =>
      new rpc.CheckResponse()
        .setInputs(request.getNews())
        .setFailuresList(toFailures(options.checkConfig?.({ ...unpack(request.getNews()) }) ?? [])),
    ),
    cancel: unary(() => {
      calls.cancel();
      return new Empty();
    }),

    check: unary(async (request: rpc.CheckRequest) => {
      const { inputs, failures } = await typeOf(request).check(
        unpack(request.getNews()) ?? {},
        unpack(request.getOlds()),
        context(request),
      );
      return new rpc.CheckResponse().setInputs(pack(inputs)).setFailuresList(toFailures(failures));
    }),

    diff: unary(async (request: rpc.DiffRequest) =>
      toDiffResponse(
        await typeOf(request).diff(
          request.getId(),
          unpack(request.getOlds()) ?? {},
          unpack(request.getOldInputs()) ?? {},
          unpack(request.getNews()) ?? {},
          context(request),
        ),
      ),
    ),

    create: unary(async (request: rpc.CreateRequest) => {
      const inputs = unpack(request.getProperties()) ?? {};
      const { id, state } = await typeOf(request).create(inputs, context(request));
      return new rpc.CreateResponse().setId(id).setProperties(pack(state));
    }),

    read: unary(async (request: rpc.ReadRequest) => {
      const found = await typeOf(request).read(
        request.getId(),
        unpack(request.getProperties()),
        unpack(request.getInputs()),
        context(request),
      );
      if (found === undefined) return new rpc.ReadResponse();
      return new rpc.ReadResponse()
        .setId(found.id)
        .setInputs(pack(found.inputs))
        .setProperties(pack(found.state));
    }),

    update: unary(async (request: rpc.UpdateRequest) => {
      const state = await typeOf(request).update(
        request.getId(),
        unpack(request.getOlds()) ?? {},
        unpack(request.getOldInputs()) ?? {},
        unpack(request.getNews()) ?? {},
        context(request),
      );
      return new rpc.UpdateResponse().setProperties(pack(state));
    }),

    delete: unary(async (request: rpc.DeleteRequest) => {
      const state = unpack(request.getProperties()) ?? {};
      await typeOf(request).delete(request.getId(), state, context(request));
      return new Empty();
    }),
  };
}

const SEVERITIES = {
  debug: LogSeverity.DEBUG,
  info: LogSeverity.INFO,
  warning: LogSeverity.WARNING,
  error: LogSeverity.ERROR,
};

interface CallRequest {
  getUrn(): string;
  getPreview?(): boolean;
  getTimeout?(): number;
}

/** `urn:pulumi:stack::project::parent$type::name`, where a name may hold `::` itself. */
function parseUrn(urn: string): { type: string; name: string } {
  const [, , types = "", ...name] = urn.split("::");
  return { type: types.slice(types.lastIndexOf("$") + 1), name: name.join("::") };
}

function toFailures(failures: CheckFailure[]): rpc.CheckFailure[] {
  return failures.map(({ property, reason }) =>
    new rpc.CheckFailure().setProperty(property).setReason(reason),
  );
}

const KINDS: Record<DiffKind, rpc.PropertyDiff.Kind> = {
  add: rpc.PropertyDiff.Kind.ADD,
  "add-replace": rpc.PropertyDiff.Kind.ADD_REPLACE,
  update: rpc.PropertyDiff.Kind.UPDATE,
  "update-replace": rpc.PropertyDiff.Kind.UPDATE_REPLACE,
  delete: rpc.PropertyDiff.Kind.DELETE,
  "delete-replace": rpc.PropertyDiff.Kind.DELETE_REPLACE,
};

function toDiffResponse(diff: Diff): rpc.DiffResponse {
  const { DIFF_SOME, DIFF_NONE } = rpc.DiffResponse.DiffChanges;
  const paths = Object.entries(diff.detailed);
  const topLevel = (entries: [string, DiffKind][]) => [
    ...new Set(entries.map(([path]) => path.replace(/[.[].*/, ""))),
  ];
  const response = new rpc.DiffResponse()
    .setChanges(diff.changes ? DIFF_SOME : DIFF_NONE)
    .setHasdetaileddiff(true)
    .setDiffsList(topLevel(paths))
    .setReplacesList(topLevel(paths.filter(([, kind]) => kind.endsWith("-replace"))))
    .setDeletebeforereplace(diff.deleteBeforeReplace ?? false);
  for (const [path, kind] of paths) {
    response.getDetaileddiffMap().set(path, new rpc.PropertyDiff().setKind(KINDS[kind]));
  }
  return response;
}

/** The wire has no undefined; JSON leaves such properties out. */
function pack(value: object): Struct {
  return Struct.fromJavaScript(
    JSON.parse(JSON.stringify(value)) as Record<string, JavaScriptValue>,
  );
}

/** The Pulumi engine sends an empty struct, or none, where it has nothing. */
function unpack(struct: Struct | undefined): object | undefined {
  return struct === undefined || struct.getFieldsMap().getLength() === 0
    ? undefined
    : struct.toJavaScript();
}

function toServiceError(error: unknown): Partial<grpc.StatusObject> {
  const message = error instanceof Error ? error.message : String(error);
  // The Pulumi engine hides a plugin's stderr from the user but keeps it in its debug log.
  console.error(error);
  if (!(error instanceof PartialFailure)) {
    // Not UNKNOWN: that makes the Pulumi engine warn about an operation whose outcome it can't tell.
    return { code: grpc.status.FAILED_PRECONDITION, details: message };
  }
  const detail = new rpc.ErrorResourceInitFailed()
    .setId(error.id)
    .setProperties(pack(error.state))
    .setReasonsList([message]);
  const packed = new Any();
  packed.pack(detail.serializeBinary(), "pulumirpc.ErrorResourceInitFailed");
  const status = new Status().setCode(grpc.status.UNKNOWN).setMessage(message);
  status.addDetails(packed);
  const metadata = new grpc.Metadata();
  metadata.set("grpc-status-details-bin", Buffer.from(status.serializeBinary()));
  return { code: grpc.status.UNKNOWN, details: message, metadata };
}
