import fc from "fast-check";
import { type GossipEvent, parseGossipEvent } from "../../configurator/serf";

type Said = GossipEvent["members"][number];

const s1: Said = {
  ...{ name: "s1", address: "10.0.0.1", role: "backend", origin: "pulumi", boot: "b1" },
};
const lineOf = ({ name, address, role, origin, boot }: Said) =>
  `${name}\t${address}\t${role}\trole=${role},origin=${origin},boot=${boot}`;

test.each<[string, string, GossipEvent]>([
  ["one member", `member-join\n${lineOf(s1)}\n`, { event: "member-join", members: [s1] }],
  [
    "an event as the handler ends it",
    `announce\n${lineOf(s1)}\n\n`,
    { event: "announce", members: [s1] },
  ],
  [
    "many members",
    `member-failed\n${lineOf(s1)}\n${lineOf({ ...s1, name: "s2" })}\n`,
    { event: "member-failed", members: [s1, { ...s1, name: "s2" }] },
  ],
  [
    "tags in another order, and others",
    "member-update\ns1\t10.0.0.1\tbackend\tx=1,boot=b1,y=,origin=pulumi,role=backend",
    { event: "member-update", members: [s1] },
  ],
  [
    "a tag whose name ends alike",
    "member-join\ns1\t10.0.0.1\tbackend\treboot=x,boot=b1,unorigin=y,origin=pulumi",
    { event: "member-join", members: [s1] },
  ],
  [
    "a tag given twice: the first",
    "member-join\ns1\t10.0.0.1\tbackend\tboot=b1,boot=b2,origin=pulumi",
    { event: "member-join", members: [s1] },
  ],
  [
    "a value with an equals sign",
    "member-join\ns1\t10.0.0.1\tbackend\torigin=pulumi,boot=a=b=",
    { event: "member-join", members: [{ ...s1, boot: "a=b=" }] },
  ],
  [
    "tags without values",
    "member-join\ns1\t10.0.0.1\tbackend\tboot,origin,,=",
    { event: "member-join", members: [{ ...s1, origin: "", boot: "" }] },
  ],
  [
    "no tags",
    "member-join\ns1\t10.0.0.1\tbackend\t",
    { event: "member-join", members: [{ ...s1, origin: "", boot: "" }] },
  ],
  [
    "a name alone",
    "leave\ns1",
    { event: "leave", members: [{ ...s1, address: "", role: "", origin: "", boot: "" }] },
  ],
  ["a fifth field", `member-join\n${lineOf(s1)}\tboot=b2`, { event: "member-join", members: [s1] }],
  [
    "Serf's own escapes, which stay text",
    "member-join\ns1\\tx\\ny\t10.0.0.1\tbackend\torigin=pulumi,boot=b1",
    { event: "member-join", members: [{ ...s1, name: "s1\\tx\\ny" }] },
  ],
  [
    "a name with JSON and spaces",
    `member-join\n${lineOf({ ...s1, name: ' a"},{"host":"x' })}`,
    { event: "member-join", members: [{ ...s1, name: ' a"},{"host":"x' }] },
  ],
  [
    "an empty line between members",
    `member-join\n${lineOf(s1)}\n\n${lineOf(s1)}`,
    {
      event: "member-join",
      members: [s1, { name: "", address: "", role: "", origin: "", boot: "" }, s1],
    },
  ],
  ["no member", "announce\n\n", { event: "announce", members: [] }],
  ["nothing", "", { event: "", members: [] }],
  ["empty lines", "\n\n\n", { event: "", members: [] }],
])("%s", (_what, text, event) => {
  expect(parseGossipEvent(text)).toEqual(event);
});

test("any text is an event whose fields are texts of one line", () => {
  const bits = fc.constantFrom(
    "\t",
    "\n",
    "\r",
    "\0",
    ",",
    "=",
    "boot=",
    "origin=",
    "s1",
    "é",
    "😀",
  );
  const text = fc.oneof(
    fc.string({ unit: "binary" }),
    fc
      .array(fc.oneof(bits, fc.string({ unit: "binary", maxLength: 3 })))
      .map((all) => all.join("")),
  );
  const field = expect.stringMatching(/^[^\t\n]*$/) as string;
  const said = { name: field, address: field, role: field, origin: field, boot: field };
  fc.assert(
    fc.property(text, (message) => {
      const { event, members } = parseGossipEvent(message);
      expect(event).toEqual(expect.stringMatching(/^[^\n]*$/));
      expect(members.length).toBeLessThan(message.split("\n").length);
      for (const heard of members) expect(heard).toEqual(said);
    }),
    { numRuns: 1000 },
  );
});

test("any member comes out as it went in", () => {
  const word = fc.stringMatching(/^[^\s,][^\t\n,]{0,20}[^\s,]$/);
  const anybody = fc.record({ name: word, address: word, role: word, origin: word, boot: word });
  fc.assert(
    fc.property(fc.array(anybody, { maxLength: 5 }), (members) => {
      const text = ["member-join", ...members.map(lineOf), "", ""].join("\n");
      expect(parseGossipEvent(text)).toEqual({ event: "member-join", members });
    }),
  );
});
