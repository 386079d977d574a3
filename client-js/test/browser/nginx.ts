/** The proxy as it is deployed, with a certificate that nobody vouches for. */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import type { After } from "./ends.ts";

const ROOT = resolve(".."); // npm runs this in client-js
const PYTHON = join(ROOT, ".venv/bin/python");
const TEMPLATE = join(ROOT, "scripts/deploy/nginx/nginx.conf.template");
/** A socket of the process that makes way is cut soon, for the test waits for that. */
const SOON = "worker_shutdown_timeout 1s;";

/** For this machine, by whatever name; nobody vouches for it. */
export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

export class Nginx {
  readonly certificate: Certificate;
  readonly #folder = mkdtempSync(join(tmpdir(), "parley-nginx-"));
  #port = 0;
  #process: ChildProcess | undefined;

  private constructor(certificate: Certificate) {
    this.certificate = certificate;
  }

  static certified(): Certificate {
    const folder = mkdtempSync(join(tmpdir(), "parley-certificate-"));
    python("-m", "tests.support.certificates", folder);
    const read = (name: string) => readFileSync(join(folder, name), "utf8");
    const certificate = { key: read("key.pem"), cert: read("cert.pem") };
    rmSync(folder, { recursive: true });
    return certificate;
  }

  /** TLS in front of the instance at `port`. */
  static async before(port: number, certificate: Certificate, after: After): Promise<Nginx> {
    const nginx = new Nginx(certificate);
    after(() => nginx.#end());
    await nginx.#start(port);
    return nginx;
  }

  get port(): number {
    return this.#port;
  }

  /** As `nginx -s reload` does: other processes take new connections, those before them end. */
  reload(): void {
    this.#process?.kill("SIGHUP");
  }

  async #start(instance: number): Promise<void> {
    this.#port = await freePort();
    const more = join(this.#folder, "more");
    mkdirSync(more);
    writeFileSync(join(this.#folder, "cert.pem"), this.certificate.cert);
    writeFileSync(join(this.#folder, "key.pem"), this.certificate.key);
    writeFileSync(join(more, "tls.conf"), "ssl_certificate cert.pem; ssl_certificate_key key.pem;");
    const values: Readonly<Record<string, string>> = {
      PROXY_LISTEN: `127.0.0.1:${this.#port} ssl`,
      PROXY_INSTANCES: `server 127.0.0.1:${instance} max_fails=0;`,
      PROXY_STATE: this.#folder,
      PROXY_LOG: join(this.#folder, "access"),
      PROXY_MORE: more,
    };
    const filled = readFileSync(TEMPLATE, "utf8")
      .replace(/\$\{(PROXY_\w+)\}/g, (_, name: string) => values[name] ?? "")
      .replace(/worker_shutdown_timeout [^;]+;/, SOON);
    const config = join(this.#folder, "nginx.conf");
    // Workers that root starts run as somebody else, who must be let into the folder.
    writeFileSync(config, process.getuid?.() === 0 ? `user root;\n${filled}` : filled);
    const program = python("-c", "from tests.support.programs import find; print(find('nginx'))");
    const place = ["-p", this.#folder, "-c", config, "-e", "stderr", "-g", "daemon off;"];
    this.#process = spawn(program, place, { stdio: ["ignore", "ignore", "inherit"] });
    while (!(await accepts(this.#port)))
      if (this.#process.exitCode !== null) throw new Error("nginx ended");
  }

  async #end(): Promise<void> {
    const nginx = this.#process;
    if (nginx && nginx.exitCode === null) {
      const ended = once(nginx, "exit");
      nginx.kill("SIGTERM");
      await ended;
    }
    rmSync(this.#folder, { recursive: true });
  }
}

function python(...args: string[]): string {
  return execFileSync(PYTHON, args, { cwd: ROOT, encoding: "utf8" }).trim();
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
