// Draws what /events tells. Names come from anybody: they are only ever set as text.

/** More nodes than these stand on both sides of the balancer. */
const ONE_COLUMN = 12;
/** Up to these have room for large letters. */
const FEW = 5;
const NARROW_PX = 760;
/** Of the pattern of dots in page.css. */
const DOTS_PX = 18;
const SVG = "http://www.w3.org/2000/svg";

const root = document.documentElement;
const byId = (id) => document.getElementById(id);
const isCalm = matchMedia("(prefers-reduced-motion: reduce)");

/** What is drawn of a node, by its name. */
const drawn = new Map();
let order = "";

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

/** Sets only what is new: what stays is not laid out again. */
function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

function setClass(target, name) {
  if (target.getAttribute("class") !== name) target.setAttribute("class", name);
}

const rateOf = ({ rate }) => `${rate < 9.95 ? rate.toFixed(1) : Math.round(rate)}/s`;
const timeOf = (at) => new Date(at).toLocaleTimeString("en-GB");
const clock = (at) => element("time", "", timeOf(at));

// A line to a node: a still one, and the dots on it, which move as the requests do.
function makeLine(hue) {
  const line = { paths: ["line", "flow"].map(() => document.createElementNS(SVG, "path")) };
  const flow = line.paths[1];
  flow.style.setProperty("--hue", hue);
  line.move = flow.animate([{ strokeDashoffset: 0 }, { strokeDashoffset: -DOTS_PX }], {
    duration: 1000,
    iterations: Infinity,
  });
  byId("lines").append(...line.paths);
  return line;
}

function flow({ paths, move }, { rate }) {
  setClass(paths[1], rate > 0 ? "flow moving" : "flow");
  if (rate === 0 || isCalm.matches) move.pause();
  else if (move.playState !== "running") move.play();
  move.updatePlaybackRate(1 + Math.min(12, 2 * Math.log2(1 + rate)));
  paths[1].style.strokeWidth = `${4 + Math.min(4, Math.log10(1 + rate))}px`;
}

function makeNode({ name, hue }) {
  const item = element("li", "node");
  item.style.setProperty("--hue", hue);
  const parts = ["rate", "name", "health", "sessions", "total", "gossip", "address"];
  const cells = Object.fromEntries(parts.map((part) => [part, element("span", part)]));
  const { rate, name: label, address, health, sessions, total, gossip } = cells;
  label.textContent = name;
  label.title = name;
  const who = element("span", "who");
  who.append(label, " ", address);
  item.append(rate, who, health, sessions, total, gossip);
  return { item, cells, line: makeLine(hue) };
}

function updateNode({ cells, line }, node) {
  const { rate, address, health, sessions, total, gossip } = cells;
  setText(rate, rateOf(node));
  setText(address, `${node.address}${node.origin === "by hand" ? ", by hand" : ""}`);
  setText(health, describeHealth(node));
  setClass(health, `health ${node.health}`);
  setText(sessions, `${node.sessions} open`);
  setText(total, describeTotal(node));
  setClass(total, node.errorRate > 0 ? "total failing" : "total");
  setText(gossip, node.gossip === "-" ? "no gossip" : node.gossip);
  setClass(gossip, node.gossip === "alive" ? "gossip" : "gossip doubt");
  flow(line, node);
}

function describeHealth({ status, check, health }) {
  if (health === "out") return "not in HAProxy";
  return health === "down" && check !== "" ? `${status} ${check}` : status;
}

const describeTotal = ({ requests, errorRate }) =>
  errorRate > 0 ? `${errorRate.toFixed(1)} err/s` : `${requests} in all`;

function drawNodes(nodes) {
  const isNarrow = root.clientWidth < NARROW_PX;
  const isMany = !isNarrow && nodes.length > ONE_COLUMN;
  const wanted = JSON.stringify([nodes.map(({ name }) => name), isNarrow, isMany]);
  if (wanted !== order) {
    order = wanted;
    root.classList.toggle("narrow", isNarrow);
    root.classList.toggle("many", isMany);
    root.classList.toggle("few", !isNarrow && nodes.length <= FEW);
    const names = new Set(nodes.map(({ name }) => name));
    for (const [name, { item, line }] of drawn) {
      if (names.has(name)) continue;
      item.remove();
      for (const path of line.paths) path.remove();
      drawn.delete(name);
    }
    for (const node of nodes) if (!drawn.has(node.name)) drawn.set(node.name, makeNode(node));
    const items = nodes.map(({ name }) => drawn.get(name).item);
    const half = isMany ? Math.ceil(items.length / 2) : 0;
    byId("left").replaceChildren(...items.slice(0, half));
    byId("right").replaceChildren(...items.slice(half));
    drawLines(isNarrow);
  }
  for (const node of nodes) updateNode(drawn.get(node.name), node);
}

/** From the balancer's edge to each node's, in the picture's own coordinates. */
function drawLines(isNarrow) {
  const picture = byId("picture").getBoundingClientRect();
  const balancer = byId("balancer").getBoundingClientRect();
  for (const column of [byId("left"), byId("right")]) {
    [...column.children].forEach((item, i, { length }) => {
      const box = item.getBoundingClientRect();
      const y = box.top + box.height / 2 - picture.top;
      const share = length > 1 ? i / (length - 1) : 0.5;
      const path = isNarrow
        ? drawAlong(balancer.bottom - picture.top, box.left - picture.left, y, share)
        : drawAcross(picture, balancer, box, y, share);
      const { paths } = [...drawn.values()].find((it) => it.item === item).line;
      for (const it of paths) it.setAttribute("d", path);
      // So many dots side by side would be a blur.
      if (isNarrow && length > ONE_COLUMN) {
        paths[1].setAttribute("d", path.replace(/^M (\S+) .*(H .*)$/, `M $1 ${y} $2`));
      }
    });
  }
}

/** Down along the left edge, then right; those that go furthest down are the outermost. */
function drawAlong(from, to, y, share) {
  const x = to - 8 - share * (to - 12);
  const bend = Math.min(8, to - x);
  return `M ${x} ${from} V ${y - bend} q 0 ${bend} ${bend} ${bend} H ${to}`;
}

function drawAcross(picture, balancer, box, y, share) {
  const isLeft = box.left < balancer.left;
  const start = (isLeft ? balancer.left : balancer.right) - picture.left;
  const end = (isLeft ? box.right : box.left) - picture.left;
  const from = balancer.top - picture.top + balancer.height * (0.15 + 0.7 * share);
  const middle = (start + end) / 2;
  return `M ${start} ${from} C ${middle} ${from} ${middle} ${y} ${end} ${y}`;
}

function drawSummary({ balancers, nodes, stack, at }) {
  const up = nodes.filter(({ health }) => health === "up").length;
  setText(byId("title"), `Lab of stack ${stack}`);
  document.title = `${up}/${nodes.length} up: lab of stack ${stack}`;
  setText(byId("summary"), `${up} of ${nodes.length} nodes up`);
  const lost = balancers.filter(({ connection }) => !connection.isUp);
  root.classList.toggle("lost", lost.length === balancers.length);
  setClass(byId("connection"), lost.length > 0 ? "down" : "up");
  const reasons = lost.map(({ name, connection: { reason, since } }) =>
    since === 0 ? `${name}: connecting` : `no word from ${name}: ${reason}, since ${timeOf(since)}`,
  );
  setText(byId("connection"), reasons.join("; ") || `live, ${timeOf(at)}`);
}

/** One balancer is the box itself; two stand in it. */
function drawBalancers(balancers) {
  const list = byId("balancers");
  const names = balancers.map(({ name }) => name);
  if (list.dataset.names !== String(names)) {
    list.dataset.names = String(names);
    const parts = ["name", "health", "rate", "sessions"];
    const make = () => {
      const item = element("li", "balancer");
      item.append(...parts.map((part) => element("span", part)));
      return item;
    };
    list.replaceChildren(...names.map(make));
    order = "";
  }
  balancers.forEach((balancer, i) => {
    const [name, health, rate, sessions] = list.children[i].children;
    setText(name, balancers.length > 1 ? balancer.name : "");
    setText(health, balancer.health === "up" ? "HAProxy runs" : "HAProxy does not answer");
    setClass(health, `health ${balancer.health}`);
    setText(rate, rateOf(balancer));
    setText(sessions, `${balancer.sessions} open, ${describeTotal(balancer)}`);
    setClass(sessions, balancer.errorRate > 0 ? "sessions failing" : "sessions");
  });
}

/** Makes a list anew when it has changed. */
function drawList(id, entries, empty, make) {
  const list = byId(id);
  const key = JSON.stringify(entries);
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  const items = entries.length > 0 ? entries.map(make) : [element("li", "empty", empty)];
  list.replaceChildren(...items);
}

function makeArrival({ name, hue, at, applied, serving, requested, longest }) {
  const item = element("li", "arrival");
  item.style.setProperty("--hue", hue);
  const track = element("div", "track");
  for (const [what, ms] of [
    ["requested", requested],
    ["serving", serving],
  ]) {
    if (ms === undefined) continue;
    const bar = element("i", what);
    bar.style.width = `${(100 * ms) / longest}%`;
    track.append(bar);
  }
  const moments = [
    ["in haproxy.cfg", applied],
    ["serving", serving],
    ["first request", requested],
  ];
  const said = moments.filter(([, ms]) => ms !== undefined).map(([what, ms]) => `${what} ${ms} ms`);
  const detail = said.join(", ") || "announced";
  item.append(clock(at), element("b", "name", name), track, element("div", "detail", detail));
  return item;
}

function makeApply({ at, of, way, ms, reason, change, diff }) {
  const item = element("li", "change");
  const lines = element("div", "diff");
  for (const line of diff) {
    lines.append(element("div", { "+": "plus", "-": "minus" }[line[0]] ?? "", line));
  }
  const what = element("b", "", `${of}${way}, ${ms} ms`);
  item.append(clock(at), what, element("div", "text", change));
  item.append(element("div", "text detail", reason), lines);
  return item;
}

function makeEvent({ at, kind, text }) {
  const item = element("li", `event-${kind}`);
  item.append(clock(at), text);
  return item;
}

function draw(view) {
  const { balancers } = view;
  drawSummary(view);
  drawBalancers(balancers);
  drawNodes(view.nodes);
  const times = view.arrivals.map(({ serving = 0, requested = 0 }) => Math.max(serving, requested));
  const longest = Math.max(1000, ...times);
  const arrivals = view.arrivals.map((arrival) => ({ ...arrival, longest }));
  drawList("arrivals", arrivals, "No node has announced itself since this page runs.", makeArrival);
  const ofOne = ({ balancer }) => (balancers.length > 1 ? `${balancer}: ` : "");
  const applies = view.applies.map((apply) => ({ ...apply, of: ofOne(apply) }));
  drawList("applies", applies, "None since ha started.", makeApply);
  drawList("events", view.events, "Nothing has happened.", makeEvent);
}

let last;
const source = new EventSource("events");
source.addEventListener("message", ({ data }) => draw((last = JSON.parse(data))));
source.addEventListener("error", () => {
  root.classList.add("lost");
  setText(byId("connection"), "npm run live has ended");
});
new ResizeObserver(() => {
  order = "";
  if (last) draw(last);
}).observe(byId("picture"));
