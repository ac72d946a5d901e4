/** A headless browser for screenshots: the machine's own, else Debian's chromium. */
import { chromium, type Browser } from "playwright-core";
import { STATS_USER } from "../haproxy/render";
import { asRoot, findOnPath, installPackages } from "./setup/commands";
import type { Step } from "./setup/step";

const PROGRAMS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

const findBrowser = () =>
  PROGRAMS.map((name) => findOnPath(name)).find((path) => path !== undefined);

/** Sees to it that there is a browser. */
export const browserStep: Step = {
  name: "Browser",
  check: async () => findBrowser(),
  async ways() {
    if (!findOnPath("apt-get") || asRoot([]) === undefined) return [];
    const does = "install Debian's package chromium, because screenshots need a browser";
    return [{ does, run: () => installPackages("chromium") }];
  },
  help:
    `none of ${PROGRAMS.join(", ")} is on PATH; ` +
    "install one, on Debian with: apt-get install chromium",
};

/**
 * Starts a browser without a window.
 *
 * @throws if there is none, or with its own words if it does not start
 */
export function openBrowser(): Promise<Browser> {
  const executablePath = findBrowser();
  if (executablePath === undefined) throw new Error(`${browserStep.name}: ${browserStep.help}`);
  // Chromium refuses to run as root with its sandbox. Signals are the command's to handle.
  const isRoot = process.getuid?.() === 0;
  const signals = { handleSIGINT: false, handleSIGTERM: false, handleSIGHUP: false };
  return chromium.launch({ executablePath, chromiumSandbox: !isRoot, ...signals });
}

const STATS_WIDTH = 1440;
const MARGIN = 16;
// Hidden hints are tables too.
const LAST_BOTTOM = `Math.max(...[...document.querySelectorAll("table")]
  .filter((table) => getComputedStyle(table).visibility === "visible")
  .map((table) => table.getBoundingClientRect().bottom))`;

/**
 * The whole of HAProxy's stats page as a PNG, without the room that its hidden hints take.
 *
 * @param password what the page asks for, if it does
 */
export async function shootStatsPage(
  browser: Browser,
  url: string,
  password = "",
): Promise<Buffer> {
  const page = await browser.newPage({
    viewport: { width: STATS_WIDTH, height: 900 },
    ...(password !== "" && { httpCredentials: { username: STATS_USER, password } }),
  });
  try {
    const status = (await page.goto(url))?.status();
    if (status !== 200) {
      const way = "a changed statsPassword is in force after: npx pulumi up";
      throw new Error(`${url}: got status ${status}, expected 200; ${way}`);
    }
    const height = Math.ceil(await page.evaluate<number>(LAST_BOTTOM)) + MARGIN;
    await page.setViewportSize({ width: STATS_WIDTH, height });
    return await page.screenshot();
  } finally {
    await page.close();
  }
}
