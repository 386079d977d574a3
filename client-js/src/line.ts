/** One socket after another, as the machine wants them. It decides nothing that the machine could. */

import type { Codec } from "./codec.ts";
import { ParleyError } from "./errors.ts";
import type { ClientFrame, ServerFrame } from "./frames.ts";
import type { TokenReason, TokenSource } from "./http.ts";
import type { Outside, WebSocketClass } from "./outside.ts";
import type { Action, News, Session } from "./session.ts";

/** What the handlers need of a socket, whichever class made it. */
interface Socket {
  binaryType: string;
  onopen: (() => void) | null;
  onmessage: ((event: { data: string | ArrayBuffer }) => void) | null;
  onclose: ((event: { code: number }) => void) | null;
  onerror: (() => void) | null;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number): void;
}

/** What happens to the machine, and what it wants done then. */
export type Event = (now: number, chance: number) => Action[];

export interface Ends {
  /** The socket's address, with a ticket where the token is too long for `hello`. */
  address(bearer: string | undefined): Promise<string>;
  token: TokenSource;
  told(news: News): void;
  /** All that one event brought about has been told. */
  settled(): void;
  frame(direction: "in" | "out", frame: ClientFrame | ServerFrame): void;
}

const ABNORMAL = 1006;
const EXPIRED = 4002;
const NOT_LEVEL = 4005;

/** A timer that is no more than so much too early stays as it is. */
const EARLY_MS = 1000;

export class Line {
  /** Why the server, or who brings tokens, lets us in no more. */
  refused: { readonly reason: number; readonly error: ParleyError } | undefined;
  readonly #session: Session;
  readonly #outside: Outside;
  readonly #codec: Codec;
  readonly #socketClass: WebSocketClass | undefined;
  readonly #ends: Ends;
  #socket: Socket | undefined;
  #wanted: TokenReason | undefined = "first";
  #untried = false; // a token that no connection was opened with yet
  #attempt = 0;
  #life = 0; // ends where the next token may be somebody else's
  #running = false;
  readonly #events: Event[] = [];
  #cancel: (() => void) | undefined;
  #wakes = Infinity;

  constructor(
    session: Session,
    outside: Outside,
    codec: Codec,
    socketClass: WebSocketClass | undefined,
    ends: Ends,
  ) {
    this.#session = session;
    this.#outside = outside;
    this.#codec = codec;
    this.#socketClass = socketClass ?? outside.WebSocket;
    this.#ends = ends;
  }

  connect(): void {
    if (!this.#socketClass)
      throw new TypeError("No WebSocket here: pass the class of `ws` as `WebSocket`.");
    this.run((now) => {
      if (this.#session.state !== "stopped") return [];
      this.refused = undefined;
      this.#wanted ??= "first"; // whoever was shut out comes with a new token
      return this.#session.connect(now);
    });
  }

  close(): void {
    this.#life++;
    this.#wanted = "first";
    this.run(() => this.#session.stop());
  }

  /** The page goes out of sight for good or for long: its socket would keep it from coming back whole. */
  drop(): void {
    if (this.#socket) this.#lost(1001);
  }

  /**
   * Does what the machine makes of an event, and all that follows from it, before the next event: the
   * machine believes of what it said that it was done. Those that listeners cause wait for their turn.
   */
  run(event: Event): void {
    this.#events.push(event);
    if (this.#running) return;
    this.#running = true;
    try {
      do {
        for (let next = this.#events.shift(); next; next = this.#events.shift()) {
          const actions = next(this.#outside.now(), this.#outside.chance());
          for (let action = actions.shift(); action; action = actions.shift()) {
            actions.unshift(...this.#do(action));
          }
        }
        this.#ends.settled(); // whoever hears of it may ask for more
      } while (this.#events.length);
    } finally {
      this.#running = false;
      this.#wait();
    }
  }

  /** Until time alone brings something about. */
  #wait(): void {
    const { deadline } = this.#session;
    const late = deadline - this.#wakes;
    if (late >= 0 && late < EARLY_MS) return;
    this.#cancel?.();
    this.#cancel = undefined;
    this.#wakes = deadline;
    if (!(deadline < Infinity)) return;
    const wait = Math.max(0, deadline - this.#outside.now());
    this.#cancel = this.#outside.after(wait, () => {
      this.#wakes = Infinity;
      this.run((now) => this.#session.tick(now));
    });
  }

  /** Asks for a token, and gives it to the machine. */
  async renew(why: TokenReason): Promise<void> {
    const life = this.#life;
    const token = await this.#ends.token(why);
    if (token && life === this.#life) this.run((now) => this.#session.auth(token, now));
  }

  #do(action: Action): Action[] {
    switch (action.type) {
      case "connect":
        void this.#open(++this.#attempt);
        return [];
      case "send":
        this.#send(action.frame);
        return [];
      case "close":
        return this.#hangUp(action.code);
      case "need_token":
        return this.#needToken(action.why);
      default:
        if (action.type === "moved" && action.state === "open") this.#untried = false;
        this.#ends.told(action);
        return [];
    }
  }

  #needToken(why: "expiring" | "expired" | "refused"): Action[] {
    if (why === "expired") {
      // One that is over as soon as it is made would be asked for without end.
      if (this.#untried) {
        this.refused = over;
        this.#wanted = "first";
        return [];
      }
      this.#wanted = why;
      return this.#session.connect(this.#outside.now());
    }
    if (why === "refused")
      this.#wanted = why; // for the next connection: asking at once could go on for ever
    else this.renew(why).catch(() => {}); // there is time: it ends with `expired`
    return [];
  }

  async #open(attempt: number): Promise<void> {
    const life = this.#life;
    const stale = () => attempt !== this.#attempt;
    try {
      const why = this.#wanted;
      if (why) {
        const token = await this.#ends.token(why);
        if (life !== this.#life) return;
        if (token === undefined && why !== "first") return this.#shutOut();
        // One that comes too late for this attempt serves the next one.
        this.#untried = why === "expired";
        this.#wanted = undefined;
        if (token) this.run((now) => this.#session.auth(token, now));
        if (stale()) return;
      }
      const address = await this.#ends.address(this.#session.bearer);
      if (stale()) return;
      this.#listen(this.#dial(address));
    } catch (error) {
      if (stale()) return;
      const refused = error instanceof ParleyError && !error.retryable ? error : undefined;
      if (refused) return this.#shutOut(refused);
      const wait = error instanceof ParleyError ? error.retryAfter : undefined;
      this.run((now, chance) => this.#session.closed(ABNORMAL, now, chance, wait));
    }
  }

  /** Nobody lets us in any more: what is tried again must be asked for. */
  #shutOut(error?: ParleyError): void {
    this.#life++;
    this.refused = error ? { reason: ABNORMAL, error } : over;
    this.#wanted = "first";
    this.run(() => this.#session.stop());
  }

  #dial(address: string): Socket {
    try {
      const made = new (this.#socketClass as WebSocketClass)(address, [this.#codec.protocol]);
      return made as unknown as Socket;
    } catch (error) {
      throw new ParleyError("closed", `No socket can be opened: ${error}`);
    }
  }

  #listen(socket: Socket): void {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.run(() => (socket === this.#socket ? this.#session.opened() : []));
    socket.onmessage = ({ data }) => this.#hear(data);
    socket.onclose = ({ code }) => this.#lost(code);
    socket.onerror = () => {}; // its `close` follows, and says as much
  }

  #hear(data: string | ArrayBuffer): void {
    try {
      const frame = this.#codec.decode(data) as ServerFrame;
      this.#ends.frame("in", frame);
      this.run((now, chance) => this.#session.receive(frame, now, chance));
    } catch {
      this.#lost(NOT_LEVEL); // no word of this protocol: what was missed by it is asked for anew
    }
  }

  #send(frame: ClientFrame): void {
    this.#socket?.send(this.#codec.encode(frame));
    this.#ends.frame("out", frame);
  }

  /** Lets go at once: a dead peer would never finish the closing handshake. */
  #hangUp(code: number): Action[] {
    this.#attempt++;
    this.#letGo()?.close(code);
    return this.#session.closed(code, this.#outside.now(), this.#outside.chance());
  }

  #lost(code: number): void {
    this.#letGo()?.close();
    this.run((now, chance) => this.#session.closed(code, now, chance));
  }

  #letGo(): Socket | undefined {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket) socket.onopen = socket.onmessage = socket.onclose = null;
    return socket;
  }
}

const over = {
  reason: EXPIRED,
  error: new ParleyError("closed", "No token is good any more."),
};
