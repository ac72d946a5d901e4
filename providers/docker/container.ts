import { Interface, createInterface } from "node:readline";
import { Readable } from "node:stream";
import type Docker from "dockerode";
import { pack } from "tar-stream";
import { isNotFound } from "../../docker/connect";
import { withoutFrames } from "../../docker/exec";
import { removeContainer } from "../../docker/remove";
import { Context, PartialFailure, ResourceType } from "../pluginServer";
import {
  COMPUTED_OUTPUTS,
  CONTAINER,
  ContainerInputs,
  Upload,
  toContainerState,
  toCreateOptions,
  toEndpoint,
  toUpdateOptions,
  toUploadedFile,
} from "./containerOptions";
import {
  Values,
  checkInputs,
  diffProperties,
  planState,
  readInputs,
  withoutNotes,
} from "./properties";

/** A container that ends this soon after its start is taken as one that can't start. */
const START_GRACE_MS = 100;

/** In the state of a container that was not healthy in time: the next update waits again. */
const STILL_TO_WAIT_FOR = { wait: false };

/** Containers. What changes in place has `inPlace` in the table of containerOptions.ts; all else replaces. */
export function container(connect: () => Docker): ResourceType<ContainerInputs, Values> {
  const readState = async (id: string, inputs: Values) =>
    toContainerState(await connect().getContainer(id).inspect(), inputs);

  return {
    check(news) {
      return checkInputs(CONTAINER, news) as { inputs: ContainerInputs; failures: [] };
    },

    diff(_id, state, _olds, news) {
      // Names, addresses and ports are fixed, so that the old one has to go first.
      return { ...diffProperties(CONTAINER, state, news), deleteBeforeReplace: true };
    },

    async create(inputs, context) {
      if (context.preview) return { id: "", state: planState(inputs, COMPUTED_OUTPUTS) };
      const created = await connect()
        .createContainer(toCreateOptions(inputs))
        .catch((error: Error) => {
          throw new Error(`Unable to create container: ${error.message}`);
        });
      try {
        await connectNetworks(connect(), created, inputs);
        await upload(created, inputs.uploads ?? []);
        if (inputs.start) await start(connect(), created, inputs, context);
        return { id: created.id, state: await readState(created.id, inputs) };
      } catch (error) {
        if (error instanceof NotHealthy) {
          throw new PartialFailure(error.message, created.id, {
            ...(await readState(created.id, inputs)),
            ...STILL_TO_WAIT_FOR,
          });
        }
        // Left behind it would hold its name, and no later run would know of it.
        await removeContainer(created);
        throw error;
      }
    },

    async read(id, state, inputs) {
      try {
        const found = await readState(id, inputs ?? state ?? {});
        return {
          id,
          inputs: readInputs(CONTAINER, inputs, found) as ContainerInputs,
          state: found,
        };
      } catch (error) {
        if (isNotFound(error)) return undefined;
        throw error;
      }
    },

    async update(id, state, _olds, news, context) {
      if (context.preview) return { ...state, ...withoutNotes(news) };
      const existing = connect().getContainer(id);
      await existing.update(toUpdateOptions(news)).catch((error: Error) => {
        throw new Error(`Unable to update container: ${error.message}`);
      });
      const { Running } = (await existing.inspect()).State;
      const isToWait = news.wait === true && state.wait !== true;
      if (news.start && news.mustRun && (isToWait || !Running)) {
        await start(connect(), existing, news, context);
      }
      // As in the official plugin, what has no effect on a running container, such as a new health
      // check, is recorded as done all the same.
      const recorded = Object.keys(news).filter((key) => CONTAINER[key]?.inPlace);
      return {
        ...(await readState(id, news)),
        ...withoutNotes(Object.fromEntries(recorded.map((key) => [key, news[key]]))),
      };
    },

    async delete(id, state) {
      const existing = connect().getContainer(id);
      const grace = (state.destroyGraceSeconds ?? 0) as number;
      if (grace > 0) await existing.stop({ t: grace }).catch(ignoreStopped);
      await removeContainer(existing, state.removeVolumes !== false);
    },
  };
}

async function connectNetworks(
  docker: Docker,
  created: Docker.Container,
  { networkMode, networksAdvanced = [] }: ContainerInputs,
): Promise<void> {
  if (networksAdvanced.length === 0) return;
  // As the official plugin does: the network mode stays what it was and the default network goes.
  if (networkMode === "bridge") {
    await docker.getNetwork("bridge").disconnect({ Container: created.id });
  }
  for (const attachment of networksAdvanced) {
    await docker
      .getNetwork(attachment.name)
      .connect({ Container: created.id, EndpointConfig: toEndpoint(attachment) })
      .catch((error: Error) => {
        throw new Error(`Unable to connect to network "${attachment.name}": ${error.message}`);
      });
  }
}

async function upload(created: Docker.Container, uploads: Upload[]): Promise<void> {
  if (uploads.length === 0) return;
  const archive = pack();
  for (const file of uploads) {
    const { content, ...header } = toUploadedFile(file);
    archive.entry({ ...header, mtime: new Date(0) }, content);
  }
  archive.finalize();
  await created.putArchive(archive, { path: "/" }).catch((error: Error) => {
    throw new Error(`Unable to upload files: ${error.message}`);
  });
}

/** The container runs but is not healthy in time. */
class NotHealthy extends Error {}

/** Starts the container unless it runs, and waits until it is what the inputs ask for. */
async function start(
  docker: Docker,
  target: Docker.Container,
  inputs: ContainerInputs,
  { signal }: Context,
): Promise<void> {
  const deadline = Date.now() + inputs.waitTimeout * 1000;
  // Before the start, so that no event is missed.
  const filters = { container: [target.id], event: ["health_status", "die"] };
  const events = (await docker.getEvents({ filters })) as Readable;
  const lines = createInterface({ input: events });
  events.on("error", () => lines.close());
  try {
    if (!(await target.inspect()).State.Running) {
      await target.start().catch((error: Error) => {
        throw new Error(`Unable to start container: ${error.message}`);
      });
    }
    if (inputs.wait) {
      const infos = inspections(target, lines, signal, deadline - Date.now());
      const healthy = await waitUntilHealthy(infos, target);
      signal.throwIfAborted();
      if (!healthy) throw await describeHealth(target, inputs);
    } else if (inputs.mustRun) {
      for await (const info of inspections(target, lines, signal, START_GRACE_MS)) {
        await expectRunning(target, info);
      }
    }
  } finally {
    events.destroy();
  }
}

/** The container as it is at first and after each event, for so many ms or until aborted. */
async function* inspections(
  target: Docker.Container,
  lines: Interface,
  signal: AbortSignal,
  patienceMs: number,
): AsyncGenerator<Docker.ContainerInspectInfo> {
  const events = lines[Symbol.asyncIterator]();
  const stop = () => lines.close();
  signal.addEventListener("abort", stop, { once: true });
  // Not by AbortSignal.any and AbortSignal.timeout: Node may collect the latter, which then never
  // comes, and the update hangs (nodejs/node#57736).
  const timer = setTimeout(stop, patienceMs);
  try {
    if (signal.aborted) stop();
    do yield await target.inspect();
    while (!(await events.next()).done);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}

/** Whether the container became healthy before the inspections ended. */
async function waitUntilHealthy(
  infos: AsyncGenerator<Docker.ContainerInspectInfo>,
  target: Docker.Container,
): Promise<boolean> {
  for await (const info of infos) {
    await expectRunning(target, info);
    if (info.State.Health === undefined) {
      const name = info.Name.slice(1);
      throw new Error(`container "${name}" is to be waited for but has no healthcheck`);
    }
    if (info.State.Health.Status === "healthy") return true;
  }
  return false;
}

async function describeHealth(
  target: Docker.Container,
  { name, waitTimeout }: ContainerInputs,
): Promise<NotHealthy> {
  const { Health: health } = (await target.inspect()).State;
  const last = health?.Log?.at(-1);
  const output = last ? `; its last check exited with ${last.ExitCode}: ${last.Output.trim()}` : "";
  return new NotHealthy(`container "${name}" is ${health?.Status} after ${waitTimeout} s${output}`);
}

/** @throws with the container's last words if it does not run. */
async function expectRunning(
  target: Docker.Container,
  { Name, State }: Docker.ContainerInspectInfo,
): Promise<void> {
  if (State.Running) return;
  const words = withoutFrames(await target.logs({ stdout: true, stderr: true, tail: 10 })).trim();
  throw new Error(
    `container "${Name.slice(1)}" exited with code ${State.ExitCode}${words ? `:\n${words}` : ""}`,
  );
}

/** Stopping what is stopped is no error; the engine answers 304. */
function ignoreStopped(error: Error & { statusCode?: number }): void {
  if (error.statusCode !== 304 && !isNotFound(error)) throw error;
}
