import type { Member } from "./protocol/control";

/** How long an announcement counts that gossip has not caught up with. */
const KEPT_MS = 30_000;
const MAX_KEPT = 1000;

interface Announcement {
  member: Member;
  at: number;
  /** The run that gossip knew of when the announcement was first looked at; "" for none. */
  known?: string;
}

/**
 * What members said of themselves before gossip knew it. A word is dropped when gossip knows another
 * run than it did: then it has caught up, with this run or with one that came after.
 */
export class Announcements {
  private readonly kept = new Map<string, Announcement>();

  add(member: Omit<Member, "status">): void {
    if (member.boot === "" || this.kept.size >= MAX_KEPT) return;
    this.kept.set(member.name, { member: { ...member, status: "alive" }, at: Date.now() });
  }

  /** A run that has left has nothing more to say. */
  forget({ name, boot }: Pick<Member, "name" | "boot">): void {
    if (this.kept.get(name)?.member.boot === boot) this.kept.delete(name);
  }

  /** Those that still count beside what gossip knows. */
  beside(members: Member[]): Member[] {
    const known = new Map(members.map((member) => [member.name, member]));
    for (const [name, announcement] of this.kept) {
      const now = known.get(name);
      announcement.known ??= now?.boot ?? "";
      const hasCaughtUp =
        now?.boot === announcement.member.boot ||
        (now?.status === "alive" && now.boot !== announcement.known);
      if (hasCaughtUp || Date.now() - announcement.at > KEPT_MS) this.kept.delete(name);
    }
    return [...this.kept.values()].map(({ member }) => member);
  }
}
