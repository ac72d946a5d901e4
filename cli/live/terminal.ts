/** The picture of a lab as lines of a terminal. */
import { formatTable } from "../table";
import type { LabView, NodeView } from "./view";

const COLOURS = { good: 32, bad: 31, care: 33, soft: 2 };
type Colour = keyof typeof COLOURS;

const HEALTH: Record<NodeView["health"], Colour> = {
  up: "good",
  down: "bad",
  partly: "care",
  maintenance: "care",
  out: "care",
};
const HEADER = [
  "node",
  "address",
  "origin",
  "gossip",
  "HAProxy",
  "check",
  "req/s",
  "open",
  "err/s",
];
/** Lines beside nodes and events. */
const FRAME = 5;

/**
 * @param columns width of the terminal; no line is longer
 * @param rows its height; events fill what the nodes leave
 */
export function drawText(
  view: LabView,
  { columns, rows, isColoured }: { columns: number; rows: number; isColoured: boolean },
): string[] {
  const paint = (line: string, colour: Colour) => {
    const text = cut(line, columns);
    return isColoured ? `\x1b[${COLOURS[colour]}m${text}\x1b[0m` : text;
  };
  const { stack, balancers, nodes, events } = view;
  const up = nodes.filter(({ health }) => health === "up").length;
  const [header, ...lines] = formatTable(HEADER, nodes.map(cellsOf)).map((line) =>
    cut(line, columns),
  );
  const rate = balancers.reduce((sum, balancer) => sum + balancer.rate, 0);
  const there = `${up} of ${nodes.length} nodes up, ${rate.toFixed(1)} requests/s`;
  const lost = balancers.filter(({ connection }) => !connection.isUp);
  const state = [
    ...(lost.length < balancers.length ? [there] : []),
    ...lost.map(({ name, connection }) => `no word from ${name}: ${connection.reason}`),
  ].join("; ");
  const isWell = balancers.every(({ health }) => health === "up") && up === nodes.length;
  const room = Math.max(0, rows - FRAME - nodes.length);
  return [
    paint(`stack ${stack}: ${state}`, isWell ? "good" : "bad"),
    "",
    paint(header, "soft"),
    ...lines.map((line, i) => paint(line, HEALTH[nodes[i].health])),
    "",
    ...events.slice(0, room).map(({ at, text }) => {
      return cut(`${new Date(at).toLocaleTimeString("en-GB")} ${text}`, columns);
    }),
  ];
}

function cellsOf(node: NodeView): string[] {
  const { name, address, origin, gossip, status, check, rate, sessions, errorRate } = node;
  const numbers = [rate.toFixed(1), String(sessions), errorRate.toFixed(1)];
  const right = numbers.map((text, i) => text.padStart(HEADER[6 + i].length));
  return [name, address, origin, gossip, status, check || "-", ...right].map((text) =>
    cut(text, 20),
  );
}

/** Names are anybody's text: what a terminal would obey is not passed on. */
function cut(text: string, length: number): string {
  const plain = text.replace(/\p{C}/gu, "?");
  return plain.length > length ? `${plain.slice(0, length - 1)}…` : plain;
}
