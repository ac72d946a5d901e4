/** The live page in a browser: what it shows of a lab, how soon, and that it outlives the balancer. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Browser, Page } from "playwright-core";
import { browserStep, openBrowser } from "../../cli/browser";
import type { LabView } from "../../cli/live/view";
import { complete } from "../../cli/setup/step";
import { tellBalancers } from "../support/balancer";
import { LabCheckout } from "../support/checkout";
import { addByHand } from "../support/cluster";
import { eventually, get, portOf } from "../support/observe";

jest.setTimeout(180_000);

const FOLLOWS_WITHIN_MS = 500;
const PATIENCE_MS = 20_000;
const PHONE = { width: 360, height: 740 };

let lab: LabCheckout;
let live: ChildProcess;
let url: string;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  await complete(browserStep, console.log);
  lab = await LabCheckout.create("e2e-live");
  await lab.up();
  const command = ["--require", "tsx/cjs", "cli/live.ts", "--stack", lab.stack];
  live = spawn(process.execPath, command, {
    cwd: lab.folder,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(createInterface({ input: live.stdout! }), "line")) as [string];
  url = /http:\S+/.exec(line)![0];
  browser = await openBrowser();
  page = await browser.newPage();
  await page.goto(url);
});
afterAll(async () => {
  await browser?.close();
  live?.kill("SIGKILL");
  await lab.remove();
});

/**
 * Asks until an expression holds in the page; it may not wait there, where the page's own policy
 * forbids eval.
 *
 * @returns the clock time then, ms
 */
const when = (expression: string): Promise<number> =>
  eventually(PATIENCE_MS, async () => {
    const at = await page.evaluate<number | undefined>(`(${expression}) ? Date.now() : undefined`);
    if (at === undefined) throw new Error(`not in the page: ${expression}`);
    return at;
  });

const rowOf = (name: string) =>
  `[...document.querySelectorAll(".node")].find((it) => it.querySelector(".name").textContent === "${name}")`;

/** What the page was told until something holds. */
async function viewWith(holds: (view: LabView) => boolean): Promise<LabView> {
  const reader = (await fetch(`${url}events`))
    .body!.pipeThrough(new TextDecoderStream())
    .getReader();
  try {
    for (let text = ""; ;) {
      text += (await reader.read()).value ?? "";
      const messages = text.split("\n\n");
      text = messages.pop()!;
      for (const message of messages) {
        const view = JSON.parse(message.replace(/^.*data: /s, "")) as LabView;
        if (holds(view)) return view;
      }
    }
  } finally {
    await reader.cancel();
  }
}

test("it shows each node, and the traffic as it comes", async () => {
  await when(`${rowOf("s1")} && ${rowOf("s2")}?.querySelector(".health").textContent === "UP"`);
  expect(await page.title()).toBe("2/2 up: lab of stack e2e-live");
  await Promise.all(Array.from({ length: 40 }, () => get(portOf(lab, "httpPort"))));
  await when(`parseFloat(document.querySelector(".balancer .rate").textContent) > 5`);
  await when(`document.querySelectorAll("path.flow.moving").length === 2`);
});

test("a new node is there half a second after the configurator has applied it", async () => {
  const shown = when(rowOf("s9"));
  await addByHand(lab, "s9");
  const shownAt = await shown;
  const { applies } = await viewWith((view) => view.applies.some(({ change }) => change === "+s9"));
  const appliedAt = applies.find(({ change }) => change === "+s9")!.at;
  expect(shownAt - appliedAt).toBeLessThan(FOLLOWS_WITHIN_MS);
  await when(`${rowOf("s9")}.querySelector(".health").textContent === "UP"`);
  await Promise.all(Array.from({ length: 9 }, () => get(portOf(lab, "httpPort"))));
  await when(
    `/serving \\d+ ms, first request \\d+ ms/.test(document.querySelector(".arrival .detail").textContent)`,
  );
});

test("a name is text, whoever made it", async () => {
  const name = `<img src=x onerror="document.title='owned'">`;
  await tellBalancers(lab, "announce", `${name}\t10.9.9.9\tbackend\trole=backend,boot=1`);
  await when(`document.querySelector("#events").textContent.includes("onerror")`);
  expect(await page.locator("img").count()).toBe(0);
  expect(await page.title()).toBe("3/3 up: lab of stack e2e-live");
});

test("it needs no more than a phone's width", async () => {
  await page.setViewportSize(PHONE);
  await when(`document.documentElement.classList.contains("narrow")`);
  expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(PHONE.width);
});

test("it goes on after a restart of the balancer", async () => {
  await lab.container("ha").restart();
  await when(`document.querySelector("#events").textContent.includes("does not answer")`);
  await when(
    `!document.documentElement.classList.contains("lost") && document.title.startsWith("3/3 up")`,
  );
});

test("the web application's page counts the views of a sticky session and fits a phone", async () => {
  const visit = await browser.newPage({ viewport: PHONE });
  for (const views of [1, 2]) {
    await visit.goto(`http://127.0.0.1:${portOf(lab, "httpPort")}/`);
    expect(await visit.title()).toMatch(new RegExp(`^s\\d: view ${views}$`));
  }
  expect(await visit.locator("main").innerText()).toContain("Sticky: HAProxy's cookie");
  expect(await visit.evaluate("document.documentElement.scrollWidth")).toBe(PHONE.width);
});

test("two balancers take the place of one, and one of them is missed by its name", async () => {
  await lab.setBalancers(2);
  await lab.up();
  await when(
    `[...document.querySelectorAll(".balancer .name")].map((it) => it.textContent).join() === "ha1,ha2"`,
  );
  await when(`document.querySelector("#connection").textContent.startsWith("live")`);
  await when(`document.title.startsWith("3/3 up")`);
  expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(PHONE.width);
  await lab.container("ha2").stop();
  await when(`document.querySelector("#connection").textContent.startsWith("no word from ha2: ")`);
  await when(`document.title.startsWith("3/3 up") && !document.querySelector(".lost")`);
  await lab.container("ha2").start();
  await when(`document.querySelector("#connection").textContent.startsWith("live")`);
});

test("Ctrl-C ends it", async () => {
  live.kill("SIGINT");
  expect(await once(live, "exit")).toEqual([0, null]);
});
