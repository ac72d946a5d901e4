import { createRequire, Module } from "node:module";
import type Docker from "dockerode";

/**
 * Loads dockerode, which takes as long as all the rest of a provider: hence at the first call that
 * needs the engine, and without its greater half, an SSH client and a gRPC server. Measured: 45 ms of
 * a processor for 57 modules where it is 190 ms for 208, and an update has two or three such processes.
 * The two are one function each and are loaded when that is called, for an ssh:// engine or a BuildKit
 * session.
 */
export function loadClient(): typeof Docker {
  const dockerode = createRequire(require.resolve("dockerode"));
  const modem = createRequire(dockerode.resolve("docker-modem"));
  loadWhenCalled(dockerode, "./session");
  loadWhenCalled(modem, "./ssh");
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  return require("dockerode") as typeof Docker;
}

/** Puts a function in place of a module that is one, as seen from another module. */
function loadWhenCalled(from: NodeJS.Require, name: string): void {
  const path = from.resolve(name);
  if (from.cache[path]) return;
  const standIn = new Module(path);
  standIn.loaded = true;
  standIn.exports = (...args: unknown[]): unknown => {
    delete from.cache[path];
    return (from(name) as (...args: unknown[]) => unknown)(...args);
  };
  from.cache[path] = standIn;
}
