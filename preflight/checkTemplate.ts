/** What HAProxy itself says of a new haproxy.cfg. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { TEMPLATE } from "../components/haproxyConfig";
import { paths } from "../configurator/paths";
import { connectDocker } from "../docker/connect";
import { runInContainer } from "../docker/exec";
import { renderHaproxyConfig, renderUsers } from "../haproxy/render";
import type { DeclaredLab, Host } from "./host";

/** @returns the text of haproxy.cfg, or why there is none */
export function renderTemplate({
  topology,
  servers,
}: DeclaredLab): { text: string } | { problem: string } {
  try {
    return {
      text: renderHaproxyConfig(
        readFileSync(TEMPLATE, "utf8"),
        topology.balancers[0].proxy,
        servers,
      ),
    };
  } catch (error) {
    return { problem: `${TEMPLATE}: ${(error as Error).message}` };
  }
}

/** Checks the text on standard input unless it is the running file, whose digest is $1. */
const CHECK_IF_NEW = `
if [ "$(sha256sum <${paths.config})" = "$1  -" ]; then exec cat >/dev/null; fi
exec haproxy -c -f /dev/stdin`;

/** What HAProxy in a running balancer says against a new haproxy.cfg. */
export async function checkTemplate(lab: DeclaredLab, host: Host, text: string): Promise<string[]> {
  const names = lab.topology.balancers.map(({ containerName }) => containerName);
  const own = host.containers.find(
    ({ name, claim, state }) => names.includes(name) && claim !== undefined && state === "running",
  );
  if (own === undefined) return [];
  const digest = createHash("sha256").update(text).digest("hex");
  const container = connectDocker().getContainer(own.name);
  const command = ["sh", "-c", CHECK_IF_NEW, "sh", digest];
  const { exitCode, stderr } = await runInContainer(container, command, {
    user: "haproxy",
    // At the end, so that the lines that HAProxy names are the text's.
    stdin: `${text}\n${renderUsers(undefined)}`,
  }).catch(unlessRunning);
  return exitCode === 1 ? [complaintOf(stderr)] : [];
}

/** The balancer went down in the meantime; the push will check the text too. */
const unlessRunning = () => ({ exitCode: 0, stderr: "" });

/** One problem of HAProxy's own lines about the faults, without the summary at their end. */
export function complaintOf(stderr: string): string {
  const faults = stderr
    .split("\n")
    .filter(
      (line) => line.startsWith("[ALERT]") && !/ : (Error\(s\)|Fatal errors) found in /.test(line),
    )
    .map((line) => line.replace(/^\[ALERT\]\s+\(\d+\) : (config : )?/, "  "))
    .map((line) => line.replace("/dev/stdin", "haproxy.cfg"));
  return [`${TEMPLATE}: haproxy -c refuses what it renders`, ...faults].join("\n");
}
