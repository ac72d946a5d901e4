import { listDrift } from "../../configurator/drift";

/** HAProxy 3.0's answers, the columns behind those that count left out. */
const STAT = `# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,status,weight
stats,FRONTEND,,,0,0,9971,0,0,0,0,0,0,,,,,OPEN,
admin,FRONTEND,,,1,2,9971,18,46549,6763,11,0,0,,,,,OPEN,
localnodes,FRONTEND,,,0,1,9971,26,2299,4764,15,0,4,,,,,OPEN,

`;
const STATES = `1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state
3 admin 1 cli - 2 0 1 1 633 1 0 2 0 0
5 nodes 1 s1 10.211.11.11 2 0 1 1 797 15 3 2 6 0
5 nodes 2 s2 10.211.11.12 2 0 1 1 797 15 3 2 7 0

`;
const node = (name: string) => ({ name, address: "10.211.11.11", port: 3000 });
const applied = [node("s1"), node("s2")];
const S2 = "s2 10.211.11.12 2 0 1 1 797 15 3 2 7 0";

test.each<[string, [from: string, to: string], string[]]>([
  ["nothing", ["", ""], []],
  [
    "disable frontend",
    ["15,0,4,,,,,OPEN", "15,0,4,,,,,PAUSED"],
    ["frontend localnodes: got PAUSED, expected OPEN"],
  ],
  [
    "shutdown frontend",
    ["11,0,0,,,,,OPEN", "11,0,0,,,,,STOP"],
    ["frontend admin: got STOP, expected OPEN"],
  ],
  [
    "set weight",
    [S2, S2.replace("2 0 1 1", "2 0 0 1")],
    ["server nodes/s2: got weight 0, expected 1"],
  ],
  [
    "maintenance and another weight",
    [S2, "s2 10.211.11.12 0 1 128 1 1 15 3 0 14 0"],
    ["server nodes/s2: got MAINT, expected ready", "server nodes/s2: got weight 128, expected 1"],
  ],
  ["drain", [S2, S2.replace("2 0 1 1", "2 8 1 1")], ["server nodes/s2: got DRAIN, expected ready"]],
  [
    "disable health",
    [S2, S2.replace("2 7 0", "1 2 0")],
    ["server nodes/s2: got health checks off, expected on"],
  ],
  ["a server that the file disables", [S2, S2.replace("2 0 1 1", "0 4 1 1")], []],
  [
    "another backend's server",
    ["cli - 2 0", "cli - 0 1"],
    ["server admin/cli: got MAINT, expected ready"],
  ],
  ["a removed server whose last requests run", [S2, "s3 10.211.11.13 0 1 1 1 1 15 3 0 14 0"], []],
])("after %s", (_what, [from, to], drift) => {
  const change = (text: string) => text.replace(from, to);
  expect(listDrift(change(STAT), change(STATES), applied)).toEqual(drift);
});

test("a master without a worker answers in its own words: nothing is known", () => {
  const words = "Can't find the target PID matching the prefix '@1'.\n\n";
  expect(listDrift(words, words, applied)).toEqual([]);
});
