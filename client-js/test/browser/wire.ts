/** A TCP line to a server that can be cut: the drops that a browser's own offline mode does not make. */

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

import type { After } from "./ends.ts";

export class Wire {
  readonly #listener: Server;
  readonly #open = new Set<Socket>();
  #refuses = false;

  private constructor(port: number) {
    this.#listener = createServer((near) => {
      if (this.#refuses) {
        near.resetAndDestroy();
        return;
      }
      const far = connect(port, "127.0.0.1");
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#open.add(socket);
        socket.pipe(other);
        // A drop is what this is for: the other end hears of it by its own close.
        socket.on("error", () => {});
        socket.once("close", () => {
          this.#open.delete(socket);
          other.destroy();
        });
      }
    });
  }

  /** A line to `port` of this machine, until whatever `after` belongs to ends. */
  static async to(port: number, after: After): Promise<Wire> {
    const wire = new Wire(port);
    wire.#listener.listen(0, "127.0.0.1");
    after(async () => {
      wire.#listener.close();
      wire.cut();
      await once(wire.#listener, "close");
    });
    await once(wire.#listener, "listening");
    return wire;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#listener.address() as AddressInfo).port}`;
  }

  /** Reset every connection that is open. */
  cut(): void {
    for (const socket of this.#open) socket.resetAndDestroy();
  }

  /** Cut, and let nobody through until `mend`. */
  refuse(): void {
    this.#refuses = true;
    this.cut();
  }

  mend(): void {
    this.#refuses = false;
  }
}
