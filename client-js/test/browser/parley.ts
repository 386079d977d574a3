/**
 * Parley as people start it: a process of its own, in a folder of its own.
 *
 * `kill` is what a power cut is to it; `start` brings it back on the same port, with the same data.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

import type { After } from "./ends.ts";

const ROOT = resolve(".."); // npm runs this in client-js
const PYTHON = join(ROOT, ".venv/bin/python");
const SERVES = /^Parley \S+ serves at (\S+) /;

// Whom the test runner loses patience with must not leave servers behind.
const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const server of running) server.kill("SIGKILL");
});
process.once("SIGTERM", () => process.exit(1));

export type Settings = Readonly<Record<`PARLEY_${string}`, string>>;

export class Parley {
  /** Where it serves, without a slash behind; the same after a restart. */
  url = "";
  readonly #folder = mkdtempSync(join(tmpdir(), "parley-browser-"));
  readonly #settings: Settings;
  #process: ChildProcess | undefined;
  #said: string[] = [];

  private constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** A server that serves, and ends with whatever `after` belongs to: a test, or a file of them. */
  static async started(after: After, settings: Settings = {}): Promise<Parley> {
    const parley = new Parley(settings);
    after(async () => {
      await parley.kill();
      rmSync(parley.#folder, { recursive: true });
    });
    await parley.start();
    return parley;
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  async start(): Promise<void> {
    const settings = { PARLEY_PORT: this.url === "" ? "0" : String(this.port), ...this.#settings };
    const server = spawn(PYTHON, ["-m", "server", "serve", "--migrate"], {
      cwd: this.#folder,
      env: { ...environment(), PYTHONPATH: ROOT, ...settings },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#process = server;
    running.add(server);
    server.once("exit", () => running.delete(server));
    this.#said = [];
    this.url = await new Promise<string>((found, failed) => {
      for (const stream of [server.stdout, server.stderr]) {
        createInterface(stream).on("line", (line) => {
          this.#said.push(line);
          const [, url] = SERVES.exec(line) ?? [];
          if (url !== undefined) found(url);
        });
      }
      server.once("close", () => failed(new Error(`Parley ended: ${this.log}`)));
    });
  }

  /** End it at once, as a power cut would. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Ask it to end, which it does when it has drained. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM");
  }

  /** What it said since its start. */
  get log(): string {
    return this.#said.join("\n");
  }

  async #end(how: NodeJS.Signals): Promise<void> {
    const process = this.#process;
    this.#process = undefined;
    if (process === undefined || process.exitCode !== null || process.signalCode !== null) return;
    const ended = once(process, "exit");
    process.kill(how);
    await ended;
  }
}

/** Ours, without what the one who runs the tests may have set for servers of theirs. */
export function environment(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(
    ([name]) => !name.startsWith("PARLEY_") && name !== "DATABASE_URL" && name !== "REDIS_URL",
  );
  return Object.fromEntries(own);
}
