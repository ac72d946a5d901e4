/**
 * A stand-in for the official Docker plugin on machines that can't download it: the resources and
 * properties that this project's program uses, with the same operations, diffs and containers.
 */
import { connectEngine } from "../engine";
import { serve } from "../server";
import { checkSettings } from "./settings";
import { container } from "./container";
import { image } from "./image";
import { network } from "./network";
import { volume } from "./volume";

function connect(): ReturnType<typeof connectEngine> {
  try {
    return connectEngine();
  } catch (error) {
    // The CLI shows what a plugin says before it ends.
    console.error((error as Error).message);
    process.exit(1);
  }
}

const docker = connect();

serve({
  name: "docker",
  version: "5.2.0",
  checkConfig: checkSettings,
  resources: {
    "docker:index/container:Container": container(docker),
    "docker:index/image:Image": image(docker),
    "docker:index/network:Network": network(docker),
    "docker:index/volume:Volume": volume(docker),
  },
});
