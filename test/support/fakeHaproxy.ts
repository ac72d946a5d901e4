/**
 * HAProxy's master CLI and its `-c`, as far as the configurator uses them, for what a real one can't be
 * brought to do on demand: refuse a command, or die at any of them.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import type { paths } from "../../configurator/paths";
import { listServers } from "../../configurator/servers";
import type { ProxyNode } from "../../haproxy/render";

/** A line that `haproxy -c` refuses. */
export const NOT_PARSED = "this does not parse";
/** A line that only the worker refuses, at its start. */
export const NOT_STARTED = "this does not start";

export interface FakeServer extends ProxyNode {
  status: string;
  check: string;
}

export class FakeHaproxy {
  /** Those that came in, without the prefix for the worker. */
  readonly commands: string[] = [];
  /** The worker's servers; none without one. */
  servers?: Map<string, FakeServer>;
  pid = 6;
  /** Asked for each command: `die` ends the worker without an answer, a text is the answer. */
  answer: (command: string) => string | undefined = () => undefined;

  private readonly server: Server;

  private constructor(private readonly config: string) {
    this.server = createServer((socket) => this.serve(socket));
  }

  /** Puts it where the configurator looks, with all its files in one folder, and `haproxy` on PATH. */
  static async start(folder: string, places: typeof paths): Promise<FakeHaproxy> {
    for (const name of Object.keys(places)) Object.assign(places, { [name]: join(folder, name) });
    mkdirSync(places.nodes);
    mkdirSync(join(folder, "bin"));
    const parser = `#!/bin/sh\nfor last; do :; done\n! grep "${NOT_PARSED}" "$last"\n`;
    writeFileSync(join(folder, "bin/haproxy"), parser, { mode: 0o755 });
    process.env.PATH = `${join(folder, "bin")}:${process.env.PATH}`;
    const haproxy = new FakeHaproxy(places.config);
    await new Promise<void>((resolve) => haproxy.server.listen(places.master, resolve));
    return haproxy;
  }

  stop(): Promise<void> {
    return new Promise((resolve) => void this.server.close(() => resolve()));
  }

  get id(): string {
    return `${this.pid} 1`;
  }

  /** A worker on the file as it is. @returns whether it started */
  startWorker(): boolean {
    const text = existsSync(this.config) ? readFileSync(this.config, "utf8") : NOT_STARTED;
    if (text.includes(NOT_STARTED) || text.includes(NOT_PARSED)) return false;
    // The file names it where servers have no addresses there.
    const stateFile = /^ *server-state-file (\S+)$/m.exec(text)?.[1];
    const states = stateFile && existsSync(stateFile) ? readFileSync(stateFile, "utf8") : "";
    const servers = listServers(text).map((it) => ({
      ...it,
      address:
        new RegExp(`^\\S+ nodes \\S+ ${it.name} (\\S+) `, "m").exec(states)?.[1] ?? it.address,
      status: "UP",
      check: "L7OK",
    }));
    this.servers = new Map(servers.map((server) => [server.name, server]));
    this.pid++;
    return true;
  }

  private serve(socket: Socket): void {
    socket.setEncoding("utf8").on("error", () => undefined);
    socket.on("data", (line: string) => {
      // As s6 does.
      if (this.servers === undefined) this.startWorker();
      for (const command of line.trim().split("; ")) {
        const plain = command.replace(/^@1 /, "");
        this.commands.push(plain);
        const told = this.answer(plain);
        if (told === "die") {
          this.servers = undefined;
          socket.destroy();
          return;
        }
        const answer = told ?? (plain === "reload" ? this.reload() : this.ask(plain));
        socket.write(answer === "" ? "\n" : `${answer}\n\n`);
      }
    });
  }

  private reload(): string {
    return this.startWorker() ? "Success=1" : "Success=0\n--\n[ALERT] it does not start";
  }

  private ask(command: string): string {
    if (this.servers === undefined) return "There is no worker.";
    if (command === "show info") return `Pid: ${this.pid}\nStart_time_sec: 1`;
    if (command.startsWith("show stat nodes ")) return this.showStat();
    if (command === "dump stats-file") return "frontends\n\nbackends";
    const [, verb, name, rest] = /^(.*) nodes\/(\S+) ?(.*)$/.exec(command) ?? [];
    const server = this.servers.get(name);
    if (verb === "add server") {
      const [address, port] = rest.split(" ")[0].split(":");
      const added = { name, address, port: Number(port), status: "MAINT", check: "INI" };
      this.servers.set(name, added);
      return "New server registered.";
    }
    if (server === undefined) return "No such server.";
    const moved = /^addr (\S+) port (\d+)$/.exec(rest);
    if (moved) {
      const before = server.address;
      Object.assign(server, { address: moved[1], port: Number(moved[2]) });
      return `IP changed from '${before}' to '${moved[1]}' by 'stats socket command'`;
    }
    if (rest === "state maint") server.status = "MAINT";
    if (rest === "state ready") server.status = "UP";
    if (rest === "health down") server.status = "DOWN";
    return "";
  }

  private showStat(): string {
    const rows = [...this.servers!.values()].map(
      ({ name, address, port, status, check }) =>
        `nodes,${name},${status},${address}:${port},${check},503,`,
    );
    return ["# pxname,svname,status,addr,check_status,check_code,last_chk", ...rows].join("\n");
  }
}
