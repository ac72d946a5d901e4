/** Where Pulumi keeps this checkout's states, and the files of a file backend. */
import { readdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { parse } from "yaml";
import { checkout } from "../cli/setup/places";

/** The place of the states; no folder means another backend than files. */
export interface Backend {
  /** The project's name. */
  project: string;
  url: string;
  /** Where Pulumi has its records; absolute. */
  folder?: string;
}

/** The backend that the launcher gives to Pulumi. */
export function readBackend(): Backend {
  const { name, backend } = parse(readFileSync(join(checkout, "Pulumi.yaml"), "utf8")) as {
    name: string;
    backend?: { url?: string };
  };
  const url = process.env.PULUMI_BACKEND_URL || backend?.url || "the backend you are logged in to";
  const folder = locateState(url, checkout);
  return { project: name, url, folder: folder && join(folder, ".pulumi") };
}

/** The folder of a file backend as Pulumi reads its URL; undefined for any other backend. */
export function locateState(backendUrl: string, checkout: string): string | undefined {
  const path = /^file:\/\/([^?]*)/.exec(backendUrl)?.[1];
  if (path === undefined) return undefined;
  return resolve(checkout, path.replace(/^~(?=\/|$)/, homedir()));
}

/** The names of a folder's files with that extension; none where nothing was ever kept. */
export function listFiles(folder: string, extension: string): string[] {
  try {
    return readdirSync(folder).filter((name) => name.endsWith(extension));
  } catch {
    return [];
  }
}

/** A file's text; undefined if there is none, or none any more. */
export function readText(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

/** The same as JSON. @throws if it is not whole */
export function readJson(file: string): unknown {
  const text = readText(file);
  return text === undefined ? undefined : JSON.parse(text);
}
