import { execFile } from "node:child_process";
import type { Member } from "./protocol/control";

const ANSWER_WITHIN_MS = 2000;
/** How long a query goes on, whoever has answered. */
const QUERY_MS = 600;

/** A member as `serf members -format=json` gives it. */
interface SerfMember {
  name: string;
  /** With port. */
  addr: string;
  status: Member["status"];
  tags: Record<string, string>;
}

/** All members that the agent in this container knows; undefined when it does not answer. */
export function readMembers(): Promise<Member[] | undefined> {
  const args = ["members", "-format=json"];
  return new Promise((resolve) => {
    execFile("serf", args, { timeout: ANSWER_WITHIN_MS, maxBuffer: 2 ** 24 }, (error, stdout) =>
      resolve(error ? undefined : parseMembers(stdout)),
    );
  });
}

/**
 * Asks every balancer that the agent knows.
 *
 * @returns what those said that answered in time, by name
 */
export function queryBalancers(question: string): Promise<Record<string, string>> {
  const args = ["query", "-format=json", "-no-ack", "-tag", "role=balancer"];
  const timeout = `-timeout=${QUERY_MS}ms`;
  return new Promise((resolve) => {
    const options = { timeout: QUERY_MS + ANSWER_WITHIN_MS };
    execFile("serf", [...args, timeout, question], options, (error, stdout) =>
      resolve(error ? {} : (JSON.parse(stdout) as { Responses: Record<string, string> }).Responses),
    );
  });
}

function parseMembers(json: string): Member[] {
  const { members } = JSON.parse(json) as { members: SerfMember[] };
  return members.map(({ name, addr, status, tags }) => ({
    name,
    address: addr.replace(/:\d+$/, ""),
    status,
    role: tags.role ?? "",
    origin: tags.origin ?? "",
    boot: tags.boot ?? "",
  }));
}

/** What Serf's event handler passes on: the event and a line for each member. */
export interface GossipEvent {
  /** `member-join`, `member-leave`, …, or the query's name: `announce`, `leave`, `rejoin`. */
  event: string;
  members: Omit<Member, "status">[];
}

/** Reads the lines of images/base/rootfs/usr/local/bin/serf-event; fields that lack are empty. */
export function parseGossipEvent(text: string): GossipEvent {
  const [event, ...lines] = text.trim().split("\n");
  return {
    event,
    members: lines.map((line) => {
      const [name, address = "", role = "", tags = ""] = line.split("\t");
      const tag = (key: string) =>
        tags
          .split(",")
          .find((pair) => pair.startsWith(`${key}=`))
          ?.slice(key.length + 1) ?? "";
      return { name, address, role, origin: tag("origin"), boot: tag("boot") };
    }),
  };
}
