/** The provider protocol over the wire, as the Pulumi engine speaks it with a plugin's process. */
import { ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import * as grpc from "@grpc/grpc-js";
import { EngineService } from "@pulumi/pulumi/proto/engine_grpc_pb";
import { LogRequest } from "@pulumi/pulumi/proto/engine_pb";
import { PluginInfo } from "@pulumi/pulumi/proto/plugin_pb";
import { ResourceProviderClient } from "@pulumi/pulumi/proto/provider_grpc_pb";
import * as rpc from "@pulumi/pulumi/proto/provider_pb";
import { Status } from "@pulumi/pulumi/proto/status_pb";
import { Empty } from "google-protobuf/google/protobuf/empty_pb";
import { JavaScriptValue, Struct } from "google-protobuf/google/protobuf/struct_pb";
import { UNKNOWN, hasUnknown, isUnknown } from "../../providers/pluginServer";

const urn = "urn:pulumi:dev::project::my:index:Parent$test:index:Thing::a::name";
let plugin: ChildProcess;
let client: ResourceProviderClient;
let pulumiEngine: grpc.Server;
const logged: LogRequest.AsObject[] = [];

beforeAll(async () => {
  pulumiEngine = new grpc.Server();
  pulumiEngine.addService(EngineService, {
    log: (call: { request: LogRequest }, callback: grpc.sendUnaryData<Empty>) => {
      logged.push(call.request.toObject());
      callback(null, new Empty());
    },
  });
  const port = await new Promise<number>((resolve, reject) =>
    pulumiEngine.bindAsync(
      "127.0.0.1:0",
      grpc.ServerCredentials.createInsecure(),
      (error, bound) => (error ? reject(error) : resolve(bound)),
    ),
  );
  plugin = spawn(process.execPath, [
    ...["--require", require.resolve("tsx/cjs"), join(__dirname, "dockerProviderServerPlugin.ts")],
    ...["--logtostderr", `127.0.0.1:${port}`],
  ]);
  const [line] = (await once(plugin.stdout!, "data")) as [Buffer];
  client = new ResourceProviderClient(
    `127.0.0.1:${line.toString().trim()}`,
    grpc.credentials.createInsecure(),
  );
}, 20_000);

afterAll(() => {
  plugin.kill("SIGKILL");
  pulumiEngine.forceShutdown();
});

type Unary = (
  request: unknown,
  callback: (error: grpc.ServiceError | null, response: unknown) => void,
) => void;

function call<Response>(method: keyof ResourceProviderClient, request: unknown): Promise<Response> {
  const methods = client as unknown as Record<string, Unary>;
  return new Promise((resolve, reject) =>
    methods[method as string](request, (error, response) =>
      error ? reject(error) : resolve(response as Response),
    ),
  );
}

function struct(values: Record<string, JavaScriptValue>): Struct {
  return Struct.fromJavaScript(values);
}

function create(inputs: Record<string, JavaScriptValue>): Promise<rpc.CreateResponse> {
  const request = new rpc.CreateRequest().setUrn(urn).setProperties(struct(inputs)).setTimeout(5);
  return call<rpc.CreateResponse>("create", request);
}

test("says its version", async () => {
  expect((await call<PluginInfo>("getPluginInfo", new Empty())).toObject()).toEqual({
    version: "1.2.3",
  });
});

test("leaves secrets to the Pulumi engine and takes part in previews", async () => {
  const response = await call<rpc.ConfigureResponse>("configure", new rpc.ConfigureRequest());
  expect(response.toObject()).toMatchObject({ acceptsecrets: false, supportspreview: true });
});

test("checks", async () => {
  const check = (news: Record<string, JavaScriptValue>) =>
    call<rpc.CheckResponse>("check", new rpc.CheckRequest().setUrn(urn).setNews(struct(news)));
  expect((await check({})).getInputs()?.toJavaScript()).toEqual({ value: "default" });
  expect((await check({ value: 0 })).toObject().failuresList).toEqual([
    { property: "value", reason: "must not be 0" },
  ]);
});

test("gives a detailed diff", async () => {
  const request = new rpc.DiffRequest()
    .setUrn(urn)
    .setOldInputs(struct({ value: 1 }))
    .setNews(struct({ value: 2 }));
  const response = await call<rpc.DiffResponse>("diff", request);
  expect(response.toObject()).toEqual({
    changes: rpc.DiffResponse.DiffChanges.DIFF_SOME,
    hasdetaileddiff: true,
    detaileddiffMap: [
      ["other", { kind: rpc.PropertyDiff.Kind.ADD, inputdiff: false }],
      ["value[0].a", { kind: rpc.PropertyDiff.Kind.UPDATE_REPLACE, inputdiff: false }],
    ],
    diffsList: ["value", "other"],
    replacesList: ["value"],
    stablesList: [],
    deletebeforereplace: true,
  });
});

test("creates, with the name, the timeout and a secret, and shows what it logs", async () => {
  const response = await create({ value: "x" });
  expect(response.getId()).toBe("the-id");
  expect(response.getProperties()?.toJavaScript()).toEqual({
    name: "a::name",
    preview: false,
    timeoutSeconds: 5,
    hidden: { "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", value: "x" },
  });
  expect(logged).toEqual([{ severity: 2, message: "made it", urn, streamid: 0, ephemeral: true }]);
});

test("reads what is there, and nothing of what is gone", async () => {
  const read = async (id: string) => {
    const request = new rpc.ReadRequest().setUrn(urn).setId(id);
    const response = await call<rpc.ReadResponse>("read", request);
    return [response.getId(), response.getProperties()?.toJavaScript()];
  };
  expect(await read("there")).toEqual(["there", { read: true }]);
  expect(await read("gone")).toEqual(["", undefined]);
});

test("updates", async () => {
  const request = new rpc.UpdateRequest()
    .setUrn(urn)
    .setOlds(struct({ a: 1 }))
    .setNews(struct({ b: UNKNOWN }));
  const response = await call<rpc.UpdateResponse>("update", request);
  expect(response.getProperties()?.toJavaScript()).toEqual({ a: 1, b: UNKNOWN });
});

test("a clean failure is one line, and no doubt about the outcome", async () => {
  await expect(create({ fail: "cleanly" })).rejects.toMatchObject({
    details: "no luck",
    code: grpc.status.FAILED_PRECONDITION,
  });
});

test("a partial failure keeps what there is", async () => {
  const error = (await create({ fail: "partly" }).catch((e: unknown) => e)) as grpc.ServiceError;
  const [bytes] = error.metadata.get("grpc-status-details-bin") as Buffer[];
  const [detail] = Status.deserializeBinary(bytes).getDetailsList();
  const failure = rpc.ErrorResourceInitFailed.deserializeBinary(detail.getValue_asU8());
  expect({
    type: detail.getTypeName(),
    id: failure.getId(),
    state: failure.getProperties()?.toJavaScript(),
    reasons: failure.getReasonsList(),
  }).toEqual({
    type: "pulumirpc.ErrorResourceInitFailed",
    id: "the-id",
    state: { half: true },
    reasons: ["half done"],
  });
});

test("names the types it has when asked for another", async () => {
  const request = new rpc.CreateRequest().setUrn("urn:pulumi:dev::project::test:index:Other::a");
  await expect(call("create", request)).rejects.toMatchObject({
    details: 'test:index:Other is not implemented by this "test" plugin; it has test:index:Thing',
  });
});

test("when the Pulumi engine is gone, a call under way is taken back and the process ends", async () => {
  const outcome = create({ hang: true }).catch((error: grpc.ServiceError) => error.details);
  await new Promise((resolve) => setTimeout(resolve, 100));
  plugin.stdin!.end();
  const [code] = (await once(plugin, "exit")) as [number];
  expect([await outcome, code]).toEqual(["taken back", 0]);
});

test("tells unknown values, at any depth", () => {
  expect([isUnknown(UNKNOWN), isUnknown("a"), isUnknown(undefined)]).toEqual([true, false, false]);
  expect([hasUnknown({ a: [{ b: UNKNOWN }] }), hasUnknown({ a: null })]).toEqual([true, false]);
});
