import { splitRow } from "../../configurator/haproxyProcess";
import { describeCheck } from "../../configurator/protocol/control";

test.each([
  ["", "", "", "not checked yet"],
  ["INI", "", "", "not checked yet"],
  ["L7OK", "200", "", "GET /health answered 200 [L7OK]"],
  ["L7STS", "404", "Not Found", "GET /health answered 404 [L7STS]"],
  ["L7RSP", "", "", "GET /health got no HTTP answer [L7RSP]"],
  ["L7TOUT", "", "", "GET /health not answered in time [L7TOUT]"],
  ["L4TOUT", "", "", "no connection to 10.0.0.11:3000 in time [L4TOUT]"],
  ["L4CON", "", "Connection refused", "10.0.0.11:3000 refused the connection [L4CON]"],
  ["L4CON", "", "No route to host", "no connection to 10.0.0.11:3000 [L4CON]"],
  ["SOCKERR", "", "", "last check [SOCKERR]"],
])("a check that ended with %s %s %s", (check, checkStatus, checkDetail, words) => {
  const server = { name: "s1", address: "10.0.0.11", port: 3000, status: "DOWN", checking: false };
  expect(describeCheck({ ...server, check, checkStatus, checkDetail }, "/health")).toBe(words);
});

test.each([
  ["a,b,", ["a", "b", ""]],
  ['a,"no, not now",10.0.0.11:3000', ["a", "no, not now", "10.0.0.11:3000"]],
  ['"he said ""no""",,c', ['he said "no"', "", "c"]],
])("a row of statistics: %s", (row, cells) => {
  expect(splitRow(row).slice(0, cells.length)).toEqual(cells);
});
