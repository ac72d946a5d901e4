/** Where this machine gets its Debian packages from: apt's two formats of source lists, read. */

/** One repository: `deb <uri> <suite> <components>`. */
export interface AptSource {
  uri: string;
  suite: string;
  components: string[];
}

/** Reads the one-line format (`sources.list`), see sources.list(5). */
export function parseOneLine(text: string): AptSource[] {
  return text
    .split("\n")
    .map((line) => line.replace(/#.*/, "").trim())
    .map((line) => /^deb\s+(?:\[[^\]]*\]\s*)?(\S+)\s+(\S+)\s*(.*)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, uri, suite, components]) => ({ uri, suite, components: splitWords(components) }));
}

/** Reads the deb822 format (`*.sources`), see sources.list(5). */
export function parseDeb822(text: string): AptSource[] {
  return text
    .replace(/^#.*\n?/gm, "")
    .split(/\n\s*\n/)
    .map(readFields)
    .filter((fields) => splitWords(fields.get("types")).includes("deb"))
    .filter((fields) => !/^(no|false|without|off|disable|0)$/i.test(fields.get("enabled") ?? "yes"))
    .flatMap((fields) =>
      splitWords(fields.get("uris")).flatMap((uri) =>
        splitWords(fields.get("suites")).map((suite) => ({
          uri,
          suite,
          components: splitWords(fields.get("components")),
        })),
      ),
    );
}

/**
 * The repositories that may be a mirror of Debian's main archive, the likeliest first. Others have
 * the same suite and component too, and cannot be told apart by name alone.
 */
export function findMirrors(sources: AptSource[], codename: string): string[] {
  const suites = [codename, "stable", "oldstable", "testing", "unstable", "sid"];
  const uris = sources
    .filter(({ uri }) => /^https?:/.test(uri))
    .filter(({ suite, components }) => suites.includes(suite) && components.includes("main"))
    .map(({ uri }) => uri.replace(/\/+$/, ""));
  const likely = uris.filter((uri) => /\/debian$/.test(uri));
  return [...new Set([...likely, ...uris])];
}

/** Keys are case-insensitive; a line that begins with a blank continues the value before it. */
function readFields(stanza: string): Map<string, string> {
  return new Map(
    stanza
      .replace(/\n[ \t]+/g, " ")
      .split("\n")
      .map((line) => /^([\w-]+):\s*(.*)$/.exec(line))
      .filter((match) => match !== null)
      .map(([, key, value]) => [key.toLowerCase(), value]),
  );
}

function splitWords(text = ""): string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}
