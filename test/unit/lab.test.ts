import type Docker from "dockerode";
import { HAND_LABEL } from "../../config/member";
import { ROLE_LABEL, STACK_LABEL } from "../../config/topology";
import { requireBalancers } from "../../cli/lab";
import {
  chooseImages,
  describeLab,
  judgeOwnership,
  type Lab,
  type LabContainer,
} from "../../state/inventory";
import { formatTable } from "../../cli/table";
import { decideRebuilds } from "../../preflight/missingImages";
import { listImages } from "../../state/records";

const OURS = "our-network";
const ROLE = { [ROLE_LABEL]: "backend" };
const HAND = (name: string) => ({ [HAND_LABEL]: name });

const network = (Id: string, Name: string, Subnet: string) =>
  ({ Id, Name, IPAM: { Config: [{ Subnet }] } }) as Docker.NetworkInspectInfo;

/** A container as the engine lists it. */
const info = (
  name: string,
  labels: Record<string, string>,
  { on = OURS, pinned = "", given = "", state = "running", stack = "dev" } = {},
) =>
  ({
    Id: `id-${name}`,
    Names: [`/${name}`],
    State: state,
    Labels: { [STACK_LABEL]: stack, ...labels },
    HostConfig: { NetworkMode: on.startsWith("container:") ? on : "x-heig" },
    NetworkSettings: {
      Networks: on.startsWith("container:")
        ? {}
        : {
            "x-heig": {
              NetworkID: on,
              IPAddress: given || (state === "running" ? pinned : ""),
              IPAMConfig: pinned ? { IPv4Address: pinned } : undefined,
            },
          },
    },
  }) as unknown as Docker.ContainerInfo;

const deployment = {
  resources: [
    { urn: "urn:pulumi:dev::lab::pulumi:pulumi:Stack::lab-dev", type: "pulumi:pulumi:Stack" },
    { urn: "urn:pulumi:dev::lab::docker:index/network:Network::heig", type: "…", id: OURS },
  ],
};

test("a lab is what is on the network that its state records", () => {
  const networks = [
    network("theirs", "heig", "10.20.40.0/24"),
    network(OURS, "x-heig", "10.20.30.0/24"),
  ];
  const stopped = { pinned: "10.20.30.254", state: "exited" };
  const lab = describeLab("dev", deployment, networks, [
    info("x-s10", ROLE, { pinned: "10.20.30.20" }),
    info("x-s2", ROLE, { pinned: "10.20.30.12" }),
    info("x-ha", { [ROLE_LABEL]: "balancer" }, { pinned: "10.20.30.42" }),
    info("x-s30", HAND("s30"), stopped),
    info("x-s31", HAND("s31"), { on: "", pinned: "10.20.30.253", state: "created" }),
    info("just-the-image", {}, { given: "10.20.30.224" }),
    info("foreign", ROLE, { given: "10.20.30.225", stack: "" }),
    info("x-s3", ROLE, { on: "theirs", pinned: "10.20.40.13" }),
  ]);
  const container = (name: string, address: string, more: Partial<LabContainer> = {}) => ({
    id: `id-x-${name}`,
    name,
    containerName: `x-${name}`,
    role: "backend",
    origin: "pulumi",
    state: "running",
    address,
    ...more,
  });
  expect(lab).toEqual({
    stack: "dev",
    namePrefix: "x-",
    network: { name: "x-heig", subnet: "10.20.30.0/24" },
    containers: [
      container("ha", "10.20.30.42", { role: "balancer" }),
      container("s2", "10.20.30.12"),
      container("s10", "10.20.30.20"),
      container("s30", "10.20.30.254", { origin: "hand", state: "exited" }),
      container("s31", "10.20.30.253", { origin: "hand", state: "created" }),
    ],
    taken: [
      "10.20.30.20",
      "10.20.30.12",
      "10.20.30.42",
      "10.20.30.254",
      "10.20.30.253",
      "10.20.30.224",
      "10.20.30.225",
    ],
  });
});

test.each([
  ["nothing deployed", {}, [network(OURS, "heig", "10.20.30.0/24")]],
  ["another checkout's lab alone", deployment, [network("theirs", "heig", "10.20.30.0/24")]],
])("%s is no lab", (_, deployed, networks) => {
  expect(describeLab("dev", deployed, networks, [info("ha", ROLE)])).toBeUndefined();
});

const balancer = { containerName: "x-ha", role: "balancer", state: "running" } as LabContainer;
const labWith = (...containers: LabContainer[]) => ({ stack: "dev", containers }) as Lab;

test("a balancer that does not run is named with what to do", () => {
  expect(requireBalancers(labWith(balancer))).toEqual([balancer]);
  expect(() => requireBalancers(labWith({ ...balancer, state: "exited" }))).toThrow(
    "the balancer of stack dev does not run, its container x-ha is exited; " +
      "start it with: npx pulumi up --refresh --stack dev",
  );
  expect(() => requireBalancers(labWith({ ...balancer, state: "paused" }))).toThrow(
    "its container x-ha is paused; start it with: docker unpause x-ha",
  );
  expect(() => requireBalancers(labWith())).toThrow(
    "the balancer of stack dev is gone; make it again with: npx pulumi up --refresh --stack dev",
  );
});

test("columns stand below each other", () => {
  expect(
    formatTable(
      ["node", "state"],
      [
        ["s1", "running"],
        ["another", "-"],
      ],
    ),
  ).toEqual(["node     state", "s1       running", "another  -"]);
});

const lab = [network(OURS, "x-heig", "10.20.30.0/24"), network("theirs", "heig", "10.20.40.0/24")];

const front = info("x-ha", { [ROLE_LABEL]: "front" });

test.each<[string, Docker.ContainerInfo, string | undefined]>([
  ["a recorded one, wherever it is", info("recorded", {}, { on: "theirs" }), "recorded"],
  ["a node added by hand", info("x-s9", HAND("s9")), "byHand"],
  ["the same before its first start", info("x-s9", HAND("s9"), { on: "" }), "byHand"],
  ["one that an interrupted update left", info("x-s3", ROLE), "left"],
  ["one that bears just the image's label", info("x-s3", {}), undefined],
  [
    "a balancer in the network of a front there",
    info("x-ha1", ROLE, { on: "container:id-x-ha" }),
    "left",
  ],
  [
    "one in the network of a container that is gone",
    info("x-ha1", ROLE, { on: "container:gone" }),
    undefined,
  ],
  ["another stack's on that network", info("x-s3", ROLE, { stack: "other" }), undefined],
  ["that of another checkout's lab", info("x-s3", ROLE, { on: "theirs" }), undefined],
  ["its node added by hand", info("x-s9", HAND("s9"), { on: "theirs" }), undefined],
])("whose is %s?", (_, container, claim) => {
  const recorded = { urn: "urn:pulumi:dev::lab::container::s1", type: "…", id: "id-recorded" };
  const resources = [...deployment.resources, recorded];
  expect(judgeOwnership("dev", { resources }, lab, [front]).claimOf(container)).toBe(claim);
});

test("without a state nothing is a stack's own", () => {
  const { claimOf, isOwnNetwork } = judgeOwnership("dev", {}, lab, []);
  expect(claimOf(info("x-s3", ROLE))).toBeUndefined();
  expect(isOwnNetwork(OURS)).toBe(false);
});

describe("images", () => {
  const built = (name: string, imageId: string, args = {}) => ({
    urn: `urn:pulumi:dev::lab::lab:index:LabImages$docker:index/image:Image::${name}`,
    type: "docker:index/image:Image",
    id: `x-lab-${name}:dev`,
    inputs: { build: { args } },
    outputs: { imageName: `x-lab-${name}:dev`, repoDigest: imageId },
  });
  const recorded = listImages({
    resources: [...deployment.resources, built("base", "b1"), built("ha", "h1", { REBUILD: "1" })],
  });

  test("a state records them by name, id and how often they were missing", () => {
    expect(recorded).toEqual([
      { name: "base", tag: "x-lab-base:dev", imageId: "b1", rebuilds: 0 },
      { name: "ha", tag: "x-lab-ha:dev", imageId: "h1", rebuilds: 1 },
    ]);
  });

  test.each([
    ["all there", { "x-lab-base:dev": "b1", "x-lab-ha:dev": "h1" }, { ha: 1 }],
    ["one gone", { "x-lab-base:dev": "b1" }, { ha: 2 }],
    [
      "another's under the name",
      { "x-lab-base:dev": "b2", "x-lab-ha:dev": "h1" },
      { base: 1, ha: 1 },
    ],
    ["none there", {}, { base: 1, ha: 2 }],
  ])("to be made again: %s", (_, held, counts) => {
    expect(decideRebuilds(recorded, held)).toEqual(counts);
  });

  test.each<[string, { Id: string; RepoTags?: string[] }[], string[], string[]]>([
    ["its own", [{ Id: "b1", RepoTags: ["x-lab-base:dev"] }], [], ["x-lab-base:dev"]],
    [
      "its own, untagged",
      [{ Id: "b1" }, { Id: "h1", RepoTags: ["<none>:<none>"] }],
      [],
      ["b1", "h1"],
    ],
    ["another's untagged", [{ Id: "b0", RepoTags: [] }], [], []],
    ["another's content under its tag", [{ Id: "b2", RepoTags: ["x-lab-base:dev"] }], [], []],
    ["of a lab that runs", [{ Id: "b1", RepoTags: ["x-lab-base:dev"] }], ["x-heig"], []],
    [
      "of equal content, beside a lab that runs",
      [{ Id: "b1", RepoTags: ["lab-base:dev", "x-lab-base:dev"] }],
      ["heig"],
      ["x-lab-base:dev"],
    ],
  ])("to remove: %s", (_, images, networks, chosen) => {
    expect(chooseImages(recorded, images, networks)).toEqual(chosen);
  });
});
