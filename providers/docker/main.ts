/**
 * A stand-in for the official Docker plugin on machines that can't download it: the resources and
 * properties that this project's program and the recorded steps use (test/support/recorded), with the same
 * operations, diffs, containers and services. Of a container it also knows `command`, for its own tests.
 */
import { connectDocker } from "../../docker/connect";
import { serve } from "../pluginServer";
import { checkSettings } from "./settings";
import { container } from "./container";
import { image } from "./image";
import { network } from "./network";
import { secret, serviceConfig } from "./secret";
import { service } from "./service";
import { volume } from "./volume";

serve({
  name: "docker",
  version: "5.2.0",
  checkConfig: checkSettings,
  resources: {
    "docker:index/container:Container": container(connectDocker),
    "docker:index/image:Image": image(connectDocker),
    "docker:index/network:Network": network(connectDocker),
    "docker:index/secret:Secret": secret(connectDocker),
    "docker:index/service:Service": service(connectDocker),
    "docker:index/serviceConfig:ServiceConfig": serviceConfig(connectDocker),
    "docker:index/volume:Volume": volume(connectDocker),
  },
});
