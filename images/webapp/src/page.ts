import { createHash } from "node:crypto";

/** What a node says of itself; see the contract in docs/lab.md. */
export interface Identity {
  /** Host name of the container. */
  host: string;
  /** The node's tag, from the environment variable TAG. */
  tag: string;
  /** The node's own IPv4 address. */
  ip: string;
}

/** One visit, as the page shows it. */
export interface Visit {
  sessionViews: number;
  /** Whether it came through the balancer, and whether that keeps a browser on its node. */
  way: "direct" | "sticky" | "balanced";
  /** The request's Host header. */
  host: string;
}

/** The answer to a browser, and the Content-Security-Policy under which it is shown. */
export interface Page {
  html: (visit: Visit) => string;
  policy: string;
}

const SESSION: Record<Visit["way"], string> = {
  direct: "No balancer was on the way: this is the node's own port.",
  sticky: "Sticky: HAProxy's cookie SERVERID brings this browser back to this node.",
  balanced:
    "Not sticky: HAProxy gives each request to the next node, and each node counts its own sessions.",
};

/**
 * The hue of a node's colour, 0 to 359: always the same for a name, and far apart for s1, s2, s3, …
 * by the golden angle.
 */
export function hueOf(name: string): number {
  const [, word, number] = /^(.*?)(\d*)$/s.exec(name)!;
  const start = [...word].reduce((sum, character) => sum + character.codePointAt(0)!, 100);
  return Math.round(start + Number(number) * 137.508) % 360;
}

/**
 * Whether a client prefers a page, in so many words: one that takes anything, such as curl, is a
 * program and gets the JSON.
 *
 * @param accept the request's Accept header
 */
export function wantsPage(accept = ""): boolean {
  const quality = (type: string) => {
    const range = accept.split(",").map((it) =>
      it
        .trim()
        .toLowerCase()
        .split(/\s*;\s*/),
    );
    const parameters = range.find(([name]) => name === type)?.slice(1);
    if (parameters === undefined) return 0;
    return Number(parameters.find((it) => it.startsWith("q="))?.slice(2) ?? 1);
  };
  return quality("text/html") > quality("application/json");
}

/** The page of one node: what never changes is made once. */
export function createPage({ host, tag, ip }: Identity): Page {
  const colour = `oklch(45% 0.13 ${hueOf(tag)})`;
  const style = STYLE.replaceAll("COLOUR", colour);
  const digest = createHash("sha256").update(style).digest("base64");
  const icon = `<svg xmlns="http://www.w3.org/2000/svg"><circle cx="50%" cy="50%" r="50%" fill="${colour}"/></svg>`;
  return {
    policy: `default-src 'none'; img-src data:; style-src 'sha256-${digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    html: (visit) => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(`${tag}: view ${visit.sessionViews}`)}</title>
<link rel="icon" href="data:image/svg+xml,${encodeURIComponent(icon)}">
<style>${style}</style>
<header>
<h1>${escape(tag)}</h1>
<p>answers from <b>${escape(ip)}</b>, host name <b>${escape(host)}</b></p>
</header>
<main>
<h2>This session</h2>
<p class="views"><b>${visit.sessionViews}</b> ${visit.sessionViews === 1 ? "view" : "views"} on this node</p>
<p>${SESSION[visit.way]}</p>
<h2>See the balancing</h2>
<p>${visit.way === "direct" ? "Ask the balancer instead of the node. " : ""}A client without cookies is new each time:</p>
<pre>${escape(visit.way === "direct" ? "curl http://127.0.0.1/" : `curl http://${visit.host}/`)}</pre>
<p>A private window is a new client too. <code>curl</code> gets the same answer as JSON.</p>
</main>
</html>
`,
  };
}

const STYLE = `
:root { color-scheme: light dark; font: 1.125rem/1.5 system-ui, sans-serif; }
body { margin: 0; }
header { background: COLOUR; color: #fff; }
header, main { padding: 1.5rem max(1.25rem, 50vw - 21rem); overflow-wrap: anywhere; }
h1 { font-size: clamp(3rem, 18vw, 7rem); line-height: 1; margin: 0; }
h2 { font-size: 1.125rem; margin: 1.5rem 0 0; }
p { margin: .5rem 0; }
pre, code { background: rgb(127 127 127 / .15); border-radius: .3rem; padding: .1em .4em; }
pre { padding: .75rem 1rem; margin: .5rem 0; white-space: pre-wrap; }
.views b { font-size: 2.5rem; line-height: 1.2; }
`;

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
