import { type Codec, json } from "./codec.ts";
import { Conversation, type Desk } from "./conversation.ts";
import { ParleyError } from "./errors.ts";
import { Emitter } from "./events.ts";
import type {
  AckFrame,
  ClientFrame,
  ClientInfo,
  ConversationsChangedFrame,
  ErrorFrame,
  HistoryFrame,
  NoticeFrame,
  OkFrame,
  ServerFrame,
  WelcomeFrame,
} from "./frames.ts";
import {
  type FetchOptions,
  folderOf,
  request,
  type TokenReason,
  type TokenSource,
  visitors,
} from "./http.ts";
import { load } from "./keeping.ts";
import { Line } from "./line.ts";
import { type Outside, type Store, safe, type WebSocketClass, world } from "./outside.ts";
import { watchPage } from "./page.ts";
import { type News, type Refusal, type RequestFrame, Session } from "./session.ts";

export interface ClientOptions {
  /** The server's folder (`https://chat.example/chat/`), or its socket (`wss://chat.example/chat/ws`). */
  readonly url: string | URL;
  /** A token, or who brings one. Without it the page's visitor gets one of the server's own. */
  readonly token?:
    | string
    | ((why: TokenReason) => string | undefined | Promise<string | undefined>);
  /** The public key of the site that visitors are on. */
  readonly site?: string;
  /** Where there is none, as in Node 20: the class of `ws`. */
  readonly WebSocket?: WebSocketClass;
  /** Where messages wait that the server has not accepted; the tab's own memory, unless said. */
  readonly storage?: Store | null;
  /** Which program this is, as `hello` tells it. */
  readonly client?: ClientInfo;
  /** The encoding: `msgpack` of `parley-client/msgpack`, or JSON. */
  readonly codec?: Codec;
}

/** How the connection stands. `reason` is a close code, 1006 where the network failed. */
export type Connection =
  | { readonly state: "idle" | "connecting" }
  | { readonly state: "open"; readonly draining: boolean }
  | { readonly state: "waiting"; readonly reason: number; readonly retryIn: number }
  | { readonly state: "closed"; readonly reason: number; readonly error?: ParleyError };

export interface ClientEvents {
  state: Connection;
  notice: NoticeFrame;
  conversations: ConversationsChangedFrame;
  /** A refusal that is told nowhere else: of another answer, or of nothing that was asked here. */
  error: ParleyError;
  /** Every frame, for the curious; tokens are left out. */
  frame: { readonly direction: "in" | "out"; readonly frame: ClientFrame | ServerFrame };
}

const TOKEN_MS = 60_000; // so long may whoever brings tokens take, for a person may have to log in

type Moved = News & { readonly type: "moved" };

/** What a request came to. */
export type Settled = AckFrame | OkFrame | HistoryFrame | ParleyError;

/** A person's connection to a server, and the conversations that they follow over it. */
export class ParleyClient extends Emitter<ClientEvents> {
  readonly #session: Session;
  readonly #line: Line;
  readonly #folder: string;
  readonly #outside: Outside;
  readonly #store: Store;
  readonly #bring: TokenSource;
  readonly #desk: Desk;
  readonly #conversations = new Set<Conversation>();
  readonly #asked = new Map<RequestFrame, (answer: Settled) => void>();
  #connection: Connection = { state: "idle" };
  #moved: Moved | undefined;
  #left = false; // by our own will, and what waits may wait on
  #bearer: string | undefined; // serves the socket and HTTP alike
  #asking: Promise<string | undefined> | undefined;
  #unwatch: (() => void) | undefined;

  constructor(options: ClientOptions);
  /** @internal */
  constructor(options: ClientOptions, outside: Outside);
  constructor(options: ClientOptions, outside: Outside = world) {
    super();
    const { token, codec = json } = options;
    this.#outside = outside;
    this.#folder = folderOf(options.url);
    this.#store =
      options.storage === undefined && outside.tab ? outside.tab : safe(() => options.storage);
    const bring: TokenSource =
      typeof token === "function"
        ? async (why) => token(why)
        : token === undefined
          ? visitors(outside, this.#folder, options.site)
          : async (why) => (why === "first" ? token : undefined);
    this.#bring = bring;
    this.#session = new Session({ codec, ...(options.client && { info: options.client }) });
    this.#desk = this.#made();
    this.#line = new Line(this.#session, outside, codec, options.WebSocket, {
      token: (why) => this.#token(why),
      address: (bearer) => this.#address(bearer),
      told: (news) => this.#told(news),
      settled: () => this.#settled(),
      frame: (direction, frame) => this.#frame(direction, frame),
    });
  }

  get connection(): Connection {
    return this.#connection;
  }

  /** The server's greeting, once there was one. */
  get welcome(): WelcomeFrame | undefined {
    return this.#session.welcome;
  }

  /** Connects, and comes back after every loss, until `close`, or until the server shuts us out. */
  connect(): this {
    this.#unwatch ??= watchPage({
      wake: () => this.reconnect(),
      probe: () => {
        if (this.connection.state === "open") this.reconnect();
      },
      drop: () => this.#line.drop(),
    });
    if (this.#left || this.connection.state === "closed") this.#bearer = this.#asking = undefined;
    this.#left = false;
    this.#line.connect();
    return this;
  }

  /** Cuts a wait of our own choosing short; a delay that the server named is kept. */
  reconnect(): void {
    this.#line.run((now) => this.#session.wake(now));
  }

  /** Ends the connection; what is unsent stays, for another `connect`. */
  close(): void {
    this.#unwatch?.();
    this.#unwatch = undefined;
    this.#left = true;
    this.#line.close();
  }

  /** A conversation to follow, the same object for the same id; without one, a new conversation. */
  conversation(id?: string): Conversation {
    return this.unopened(id).open();
  }

  /** @internal The same, but it is followed only when somebody opens it: until then it costs nothing. */
  unopened(id?: string): Conversation {
    return (id !== undefined && this.#of(id)[0]) || new Conversation(this.#desk, id);
  }

  /** Opens the conversations into which an earlier page did not get everything sent, so that it is sent now. */
  unsent(): Conversation[] {
    const names = Object.keys(load(this.#store, this.#desk.key));
    return names.map((name) => this.conversation(name.startsWith("new ") ? undefined : name));
  }

  /** A request to `api/v1/…`, as whoever is connected here. */
  async fetch(path: string, init: FetchOptions = {}): Promise<unknown> {
    const url = `${this.#folder}api/v1/${path}`;
    const token = await this.#token("first");
    try {
      return await request(this.#outside, url, init, token);
    } catch (error) {
      if (!(error instanceof ParleyError) || error.code !== "unauthenticated") throw error;
      const renewed = await this.#token("expired");
      if (!renewed || renewed === token) throw error;
      return request(this.#outside, url, init, renewed);
    }
  }

  /** One request at a time, shared by whoever asks; one that hangs is given up after a while. */
  #token(why: TokenReason): Promise<string | undefined> {
    if (why === "first" && this.#bearer !== undefined) return Promise.resolve(this.#bearer);
    if (this.#asking !== undefined) return this.#asking;
    const forget = () => {
      if (this.#asking === asking) this.#asking = undefined;
    };
    const cancel = this.#outside.after(TOKEN_MS, forget);
    const asking = this.#bring(why)
      .then((token) => {
        if (token !== undefined && this.#asking === asking) this.#bearer = token;
        return token;
      })
      .finally(() => {
        cancel();
        forget();
      });
    this.#asking = asking;
    return asking;
  }

  #made(): Desk {
    const session = this.#session;
    return {
      store: this.#store,
      key: `parley:unsent:${this.#folder}`,
      replica: (id) => session.replicas.get(id),
      user: () => session.welcome?.user,
      submit: (frame, settle, into) => {
        this.#asked.set(frame, settle);
        this.#line.run((now) => session.submit(frame, now, into));
      },
      withdraw: (frame, anyhow) => session.withdraw(frame, anyhow) && this.#asked.delete(frame),
      typing: (id) => this.#line.run(() => session.typing(id)),
      fetch: (path) => this.fetch(path),
      now: this.#outside.now,
      failed: (error) => this.emit("error", error),
      enter: (one) => {
        this.#conversations.add(one);
        const { id } = one;
        if (id !== undefined) this.#line.run((now) => session.follow(id, now));
      },
      leave: (one) => {
        this.#conversations.delete(one);
        const { id } = one;
        if (id === undefined || this.#of(id).length) return;
        this.#line.run((now) => session.unfollow(id, now));
      },
    };
  }

  async #address(bearer: string | undefined): Promise<string> {
    const address = `${this.#folder.replace(/^http/, "ws")}ws`;
    if (!bearer) return address;
    const url = `${this.#folder}api/v1/tickets`;
    const said = await request(this.#outside, url, { method: "POST", body: {} }, bearer);
    return `${address}?ticket=${encodeURIComponent((said as { ticket: string }).ticket)}`;
  }

  #told(news: News): void {
    switch (news.type) {
      case "moved":
        this.#moved = news;
        break;
      case "answered": {
        const settle = this.#asked.get(news.request);
        this.#asked.delete(news.request);
        settle?.(settled(news.answer));
        break;
      }
      case "delayed":
        for (const one of this.#conversations) one.moved("unsent", news.request);
        break;
      case "updated":
        for (const one of this.#of(news.conversation)) one.took(news.frame);
        break;
      case "unfollowed":
        for (const one of this.#of(news.conversation)) one.lost(settled(news.why) as ParleyError);
        break;
      case "heard":
        this.#heard(news.frame);
        break;
      default:
    }
  }

  /** Mostly one, and two where one was closed, another one made, and the first opened again. */
  #of(id: string): Conversation[] {
    return [...this.#conversations].filter((conversation) => conversation.id === id);
  }

  #heard(frame: ServerFrame): void {
    switch (frame.type) {
      case "welcome":
        for (const conversation of this.#conversations) conversation.welcomed(frame.user);
        break;
      case "typing":
      case "presence":
        for (const one of this.#of(frame.conversation)) one.emit(frame.type, frame as never);
        break;
      case "notice":
        this.emit("notice", frame);
        break;
      case "conversations":
        if (frame.change === "deleted")
          for (const one of this.#of(frame.conversation.id)) one.deleted();
        this.emit("conversations", frame);
        break;
      case "error":
        this.emit("error", settled(frame) as ParleyError);
        break;
      default:
    }
  }

  #stands({ state, close = 1000, wait = 0 }: Moved): Connection {
    switch (state) {
      case "open":
      case "draining":
        return { state: "open", draining: state === "draining" };
      case "waiting":
        return { state, reason: close, retryIn: wait };
      case "stopped":
        return { state: "closed", reason: close, ...this.#line.refused };
      default:
        return { state: "connecting" };
    }
  }

  /** Where several steps were one event, only where they led is told. */
  #settled(): void {
    if (!this.#moved) return;
    const before = this.connection;
    const { state } = (this.#connection = this.#stands(this.#moved));
    this.#moved = undefined;
    if (state === "connecting" && before.state === state) return;
    if (state === "closed" && !this.#left) this.#shutOut();
    for (const conversation of this.#conversations) {
      // What had left with the last connection leaves again with the next.
      if (state !== "open") conversation.moved("unsent");
      conversation.changed();
    }
    this.emit("state", this.connection);
  }

  /** Nothing comes any more, until somebody connects anew. */
  #shutOut(): void {
    const error = new ParleyError("closed", "The connection is closed.", { retryable: true });
    for (const [frame, settle] of [...this.#asked]) {
      this.#desk.withdraw(frame, true);
      settle(error);
    }
    for (const conversation of this.#conversations) conversation.shutOut(error);
  }

  #frame(direction: "in" | "out", frame: ClientFrame | ServerFrame): void {
    if (direction === "out" && "id" in frame) {
      for (const conversation of this.#conversations)
        conversation.moved("sent", frame as ClientFrame);
    }
    if (!this.heard("frame")) return;
    const shown = "token" in frame ? { ...frame, token: "…" } : frame;
    this.emit("frame", { direction, frame: shown });
  }
}

function settled(answer: AckFrame | OkFrame | HistoryFrame | ErrorFrame | Refusal): Settled {
  return "code" in answer
    ? new ParleyError(answer.code, answer.message, answer as Partial<ErrorFrame>)
    : answer;
}
