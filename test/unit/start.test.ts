import { describeOutputs } from "../../cli/start";

test("outputs that are there are named, in one order", () => {
  expect(
    describeOutputs({
      nodeNames: ["s1", "s2"],
      other: 1,
      statsUrl: "http://127.0.0.1:1936",
      url: "http://127.0.0.1:80",
      nodeUrls: ["http://127.0.0.1:4000", "http://127.0.0.1:4001"],
    }),
  ).toEqual([
    "  The lab                 http://127.0.0.1:80",
    "  HAProxy's statistics    http://127.0.0.1:1936",
    "  Web nodes               s1  s2",
    "  Each node by itself     http://127.0.0.1:4000  http://127.0.0.1:4001",
  ]);
});
