import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectTo } from "../../docker/connect";
import { chooseEndpoint } from "../../docker/endpoint";

const config = mkdtempSync(join(tmpdir(), "docker-config-"));
const id = createHash("sha256").update("far").digest("hex");
const meta = join(config, "contexts", "meta", id);
const tls = join(config, "contexts", "tls", id, "docker");

beforeAll(() => {
  mkdirSync(meta, { recursive: true });
  mkdirSync(tls, { recursive: true });
  const far = { Name: "far", Endpoints: { docker: { Host: "tcp://far:2376" } } };
  writeFileSync(join(meta, "meta.json"), JSON.stringify(far));
});

afterAll(() => rmSync(config, { recursive: true }));

const socket = { address: "unix:///var/run/docker.sock", source: "the default" };
const far = { address: "tcp://far:2376", source: 'Docker context "far"', certificates: tls };

test.each([
  ["nothing", {}, undefined, socket],
  ["the default context", {}, "default", socket],
  ["the current context", {}, "far", far],
  ["another context", { DOCKER_CONTEXT: "far" }, "default", far],
  [
    "a host before any context",
    { DOCKER_HOST: "tcp://near:2375", DOCKER_CONTEXT: "far" },
    "far",
    { address: "tcp://near:2375", source: "DOCKER_HOST" },
  ],
  [
    "a host with certificates",
    { DOCKER_HOST: "tcp://near:2376", DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: "/certs" },
    undefined,
    { address: "tcp://near:2376", source: "DOCKER_HOST", certificates: "/certs" },
  ],
])("chooses the engine named by %s", (_, env, currentContext, endpoint) => {
  writeFileSync(join(config, "config.json"), JSON.stringify({ currentContext }));
  expect(chooseEndpoint({ DOCKER_CONFIG: config, ...env })).toEqual(endpoint);
});

test("a context that is not there is an error", () => {
  expect(() => chooseEndpoint({ DOCKER_CONFIG: config, DOCKER_CONTEXT: "gone" })).toThrow(
    /^Docker context "gone" does not exist \(no .*meta\.json\)$/,
  );
});

test("an address of another kind is refused", () => {
  expect(() => connectTo(chooseEndpoint({ DOCKER_HOST: "fd://" }))).toThrow(
    'DOCKER_HOST names the Docker engine "fd://"; ' +
      "allowed are unix://, npipe://, tcp:// and ssh://",
  );
});

test.each([
  ["unix:///nowhere.sock", "connect ENOENT /nowhere.sock"],
  ["tcp://127.0.0.1:1", "connect ECONNREFUSED 127.0.0.1:1"],
])("an engine that does not answer at %s is named", async (address, reason) => {
  await expect(connectTo(chooseEndpoint({ DOCKER_HOST: address })).ping()).rejects.toThrow(
    `the Docker engine at ${address} (DOCKER_HOST): ${reason}`,
  );
});

test("a socket that is closed to the user: what opens it", async () => {
  const docker = connectTo(chooseEndpoint({ DOCKER_HOST: "unix:///run/docker.sock" }));
  // A test that runs as root is never denied.
  const denied = Object.assign(new Error("connect EACCES /run/docker.sock"), { code: "EACCES" });
  const modem = docker.modem as unknown as { buildRequest: (...args: unknown[]) => void };
  modem.buildRequest = (_options, _context, _data, done) =>
    (done as (error: Error) => void)(denied);
  await expect(docker.ping()).rejects.toThrow(
    "the Docker engine at unix:///run/docker.sock (DOCKER_HOST): connect EACCES /run/docker.sock; " +
      "add yourself to the group `docker` (`sudo usermod -aG docker $USER`, then log in anew), or use sudo",
  );
});

// In a process of its own: jest keeps what is loaded elsewhere.
test.each([
  ["unix:///nowhere.sock", "connect ENOENT /nowhere.sock", []],
  ["ssh://somebody@127.0.0.1:1", "connect ECONNREFUSED 127.0.0.1:1", ["ssh2"]],
])("the way to %s loads what it needs", (address, reason, needed) => {
  const script = `
    const { connectTo } = require("./docker/connect");
    connectTo({ address: "${address}", source: "a test" }).ping().catch(({ message }) => {
      const files = Object.keys(require.cache);
      const loaded = ["ssh2", "@grpc/grpc-js", "@grpc/proto-loader"].filter((name) =>
        files.some((file) => file.includes("/node_modules/" + name + "/")));
      console.log(JSON.stringify({ message, loaded }));
      process.exit();
    });`;
  const node = [process.execPath, "--no-deprecation", "--require", "tsx/cjs", "--eval", script];
  expect(JSON.parse(execFileSync(node[0], node.slice(1), { encoding: "utf8" }))).toEqual({
    message: `the Docker engine at ${address} (a test): ${reason}`,
    loaded: needed,
  });
});
