/**
 * A stand-in for the official Docker plugin on machines that can't download it: the resources and
 * properties that this project's program and the recorded steps use (test/e2e/recorded), with the same
 * operations, diffs and containers. Of a container it also knows `command`, for its own tests.
 */
import { connectEngine } from "../../docker/engine";
import { serve } from "../pluginServer";
import { checkSettings } from "./settings";
import { container } from "./container";
import { image } from "./image";
import { network } from "./network";
import { volume } from "./volume";

serve({
  name: "docker",
  version: "5.2.0",
  checkConfig: checkSettings,
  resources: {
    "docker:index/container:Container": container(connectEngine),
    "docker:index/image:Image": image(connectEngine),
    "docker:index/network:Network": network(connectEngine),
    "docker:index/volume:Volume": volume(connectEngine),
  },
});
