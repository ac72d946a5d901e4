import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { REBUILD } from "../state/records";

/** What the images are called and marked with. */
export interface LabImagesArgs {
  /** Name with tag of each image. */
  names: Record<ImageName, string>;
  /** Whether there are two balancers, which need a front. */
  hasFront: boolean;
  /** Value of the images' stack label. */
  stack: string;
  /** What the engine runs on, such as `linux/amd64`: the plugin would take this machine's and warn. */
  platform: string;
  /** Where they are pushed to, if they are; the password is made a secret. */
  registry?: docker.types.input.Registry;
  /** How often an image, by name, was missing and had to be made again. */
  rebuilds: Record<string, number>;
}

type ImageName = "base" | "ha" | "webapp" | "front";

/** The shared base image, the balancer's and the web nodes' image on it, and the front's. */
export class LabImages extends pulumi.ComponentResource {
  /** Id of the balancer's image; of a pushed one its name in the registry with its digest. */
  readonly ha: pulumi.Output<string>;
  /** The same of the web nodes' image. */
  readonly webapp: pulumi.Output<string>;
  /** Id of the front's image, where there is one. */
  readonly front?: pulumi.Output<string>;

  constructor(name: string, args: LabImagesArgs, opts?: pulumi.ComponentResourceOptions) {
    super("lab:index:LabImages", name, {}, opts);

    const build = (image: ImageName, buildArgs: BuildArgs) =>
      new docker.Image(
        image,
        {
          imageName: args.names[image],
          ...(args.registry
            ? { registry: { ...args.registry, password: pulumi.secret(args.registry.password) } }
            : { skipPush: true }),
          build: {
            context: `images/${image}`,
            dockerfile: `images/${image}/Dockerfile`,
            platform: args.platform,
            args:
              image in args.rebuilds
                ? { ...buildArgs, [REBUILD]: `${args.rebuilds[image]}` }
                : buildArgs,
          },
        },
        { parent: this },
      );

    const base = build("base", { STACK: args.stack });
    // BuildKit can't build FROM an id, and a tag says nothing of its content: hence both.
    const onBase = { BASE: base.imageName, BASE_ID: base.repoDigest };
    // With skipPush the digest is the local image's id: unlike the name it changes with the content.
    this.ha = build("ha", onBase).repoDigest;
    this.webapp = build("webapp", onBase).repoDigest;
    if (args.hasFront) this.front = build("front", {}).repoDigest;
    this.registerOutputs({ ha: this.ha, webapp: this.webapp });
  }
}

type BuildArgs = Record<string, pulumi.Input<string>>;
