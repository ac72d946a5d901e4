import type Docker from "dockerode";
import { isNotFound } from "../../docker/connect";
import { SERVICE_LABEL } from "../../docker/tasks";
import { poll } from "../../time/poll";
import { ResourceType } from "../pluginServer";
import { parseDuration } from "./duration";
import {
  Values,
  checkInputs,
  diffProperties,
  planState,
  readInputs,
  withoutNotes,
} from "./properties";
import {
  Kept,
  SERVICE,
  ServiceInfo,
  ServiceInputs,
  isReachable,
  toServiceSpec,
  toServiceState,
} from "./serviceOptions";

/** Services of a Swarm. As in the official plugin nothing waits until their tasks run. */
export function service(connect: () => Docker): ResourceType<ServiceInputs, Values> {
  const inspect = (id: string) =>
    poll(() => connect().getService(id).inspect() as Promise<ServiceInfo>, isReachable, {
      everyMs: 100,
      withinMs: 5000,
    });

  return {
    check(news) {
      return checkInputs(SERVICE, news) as { inputs: ServiceInputs; failures: [] };
    },

    diff(_id, state, _olds, news) {
      return {
        ...diffProperties(SERVICE, state, news),
        // Two services can't have one name, so that the old one has to go first.
        deleteBeforeReplace: state.name === news.name,
      };
    },

    async create(inputs, { preview }) {
      if (preview) {
        return { id: "", state: planState(inputs, ["endpointSpec", "labels", "mode"]) };
      }
      const spec = toServiceSpec(inputs, { platforms: await findPlatforms(connect(), inputs) });
      const { id } = await connect()
        .createService(toAuthConfig(inputs), spec)
        .catch((error: Error) => {
          throw new Error(`Unable to create service: ${error.message}`);
        });
      return { id, state: toServiceState(await inspect(id), false, authOf(inputs)) };
    },

    async read(id, before, inputs) {
      try {
        const state = toServiceState(await inspect(id), true, before?.auth);
        return { id, inputs: readInputs(SERVICE, inputs, state) as ServiceInputs, state };
      } catch (error) {
        if (isNotFound(error)) return undefined;
        throw error;
      }
    },

    async update(id, state, _olds, news, { preview }) {
      if (preview) return { ...state, ...withoutNotes(news) };
      const { Version, Spec } = await inspect(id);
      const { Placement, ForceUpdate } = Spec.TaskTemplate;
      // As the official plugin: only a new service has the platforms of its image beside a placement
      // of the program's, which has to name them too or is an update once more.
      const platforms = news.taskSpec.placement ? undefined : Placement?.Platforms;
      await connect()
        .getService(id)
        .update({
          authconfig: toAuthConfig(news),
          // The engine refuses an update of what somebody else has changed meanwhile.
          _query: { version: Version.Index },
          _body: toServiceSpec(news, { platforms, forceUpdate: ForceUpdate }),
        })
        .catch((error: Error) => {
          throw new Error(`Unable to update service: ${error.message}`);
        });
      return toServiceState(await inspect(id), true, authOf(news));
    },

    async delete(id, { taskSpec }) {
      await connect()
        .getService(id)
        .remove()
        .catch((error: Error) => {
          if (!isNotFound(error)) throw new Error(`Unable to remove service: ${error.message}`);
        });
      // Until then they hold their ports; the Swarm kills them when their time is over.
      const { stopGracePeriod } = (taskSpec as ServiceInputs["taskSpec"]).containerSpec;
      const filters = { label: [`${SERVICE_LABEL}=${id}`] };
      await poll(
        () => connect().listContainers({ filters }),
        (left) => left.length === 0,
        { everyMs: 100, withinMs: (parseDuration(stopGracePeriod ?? "") ?? 0) / 1e6 },
      );
    },
  };
}

/** Without the notes of what was filled in, which states don't have. */
const authOf = ({ auth }: ServiceInputs) => withoutNotes(auth);

/** As the client sends it in a header; empty where the registry asks for none. */
const toAuthConfig = ({ auth }: ServiceInputs) =>
  auth
    ? { serveraddress: auth.serverAddress, username: auth.username, password: auth.password }
    : {};

/** What the registry says that an image runs on, so that no task goes where it does not. */
async function findPlatforms(docker: Docker, inputs: ServiceInputs): Promise<Kept["platforms"]> {
  const image = docker.getImage(inputs.taskSpec.containerSpec.image);
  try {
    const { Platforms } = (await image.distribution({ authconfig: toAuthConfig(inputs) })) as {
      Platforms?: { architecture: string; os: string }[];
    };
    return Platforms?.map(({ architecture, os }) => ({
      // An ARM image says less than an ARM engine, and would match none.
      Architecture: architecture === "arm" ? "" : architecture,
      OS: os,
    }));
  } catch {
    // As for the official plugin: an engine that can't ask may have the image.
    return undefined;
  }
}
