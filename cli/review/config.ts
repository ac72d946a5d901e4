/**
 * The configuration of the throw-away lab that a review deploys: what the commits say in
 * Pulumi.dev.yaml, in a place of its own on this host. What both commits place alike stays alike, and
 * what they place differently differs here too, so a preview shows it.
 */
import { createHash } from "node:crypto";
import { ip2long } from "netmask";
import { addressAt, isInNetwork, parseCidr } from "../../config/subnet";
import type { LabPorts } from "../../preflight/freePlaces";

/** Values of a commit by key, without the project's name: the defaults and what Pulumi.dev.yaml sets. */
export type Values = Record<string, unknown>;

/** Where a lab goes on this host. */
export interface Place extends LabPorts {
  namePrefix: string;
  subnet: string;
}

const PORTS = [
  ...(["httpPort", "statsPort", "adminPort"] as const),
  ...(["secondStatsPort", "secondAdminPort", "nodePorts"] as const),
];
const ADDRESSES = ["publishAddress", "adminAddress"] as const;

/** The values that the throw-away lab has instead; ports that publish nothing stay so. */
export function place(values: Values, at: Place, base: Values, baseAt: Place): Values {
  const placed: Values = { ...values };
  const choose = <T>(key: keyof Place, own: T, shared: T) =>
    values[key] === base[key] ? shared : own;
  placed.namePrefix = choose("namePrefix", at.namePrefix, baseAt.namePrefix);
  placed.subnet = choose("subnet", at.subnet, baseAt.subnet);
  for (const key of PORTS) {
    // An older version has fewer.
    if (values[key]) placed[key] = choose(key, at[key], baseAt[key]);
  }
  // Nobody outside this host has to reach a throw-away lab.
  for (const key of ADDRESSES) {
    placed[key] = values[key] === base[key] ? "127.0.0.1" : "127.0.0.2";
  }
  for (const [key, value] of Object.entries(values)) {
    if (isSecret(value)) placed[key] = { secret: standIn(value.secure) };
  }
  return placed;
}

interface Secret {
  secure: string;
}

function isSecret(value: unknown): value is Secret {
  return typeof (value as Secret | null)?.secure === "string";
}

/** A secret can't be read here: another ciphertext is taken for another secret. */
function standIn(ciphertext: string): string {
  return createHash("sha256").update(ciphertext).digest("hex").slice(0, 16);
}

/** Writes the names, addresses and ports of the throw-away lab back to those that the commit has. */
export function restore(text: string, values: Values, placed: Values): string {
  const [from, to] = [placed, values].map(({ subnet }) => parseCidr(subnet as string)!);
  const withAddresses = text.replace(/\b(?:\d{1,3}\.){3}\d{1,3}\b/g, (address) =>
    isInNetwork(address, placed.subnet as string)
      ? addressAt(to, ip2long(address) - from.netLong)
      : address,
  );
  return PORTS.filter((key) => placed[key]).reduce(
    (restored, key) =>
      restored.replace(new RegExp(`\\b${placed[key] as number}\\b`, "g"), String(values[key])),
    withAddresses.replaceAll(placed.namePrefix as string, values.namePrefix as string),
  );
}
