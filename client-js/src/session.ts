/**
 * The client's side of one connection after another, as a pure state machine.
 *
 * Feed it what arrives, the time in milliseconds and, where a delay may have to be chosen, a chance
 * in [0, 1); do what it returns, in order. It opens no socket, reads no clock and throws no dice.
 * The rules:
 *
 * - `connect` asks for a connection and `stop` ends it. Between the two it reconnects for ever,
 *   unless a close code says that this is of no use.
 * - After "connect" report `opened` or `closed`. After "close" let go of the socket and report
 *   `closed` with that code at once: a dead peer would never finish the closing handshake.
 * - What is followed is followed again after each reconnection, from where it stands. A replica
 *   that is not level is attached once; where that does not help, the connection is given up.
 * - Every `submit` ends in exactly one "answered", however many connections that takes: a request
 *   leaves again, with the same id, until its answer comes. What the server refuses for now leaves
 *   again later; what it does not offer never leaves, nor what was asked as another user.
 * - What the server sends out of turn is ignored. An illegal call of our own throws and leaves the
 *   state as it was.
 */

import { delay } from "./backoff.ts";
import { type Codec, json } from "./codec.ts";
import { advice } from "./codes.ts";
import { greeting, homeOf } from "./following.ts";
import type {
  AckFrame,
  AttachedFrame,
  ChatFrame,
  ClientFrame,
  ClientInfo,
  ErrorFrame,
  HelloFrame,
  ServerFrame,
  WelcomeFrame,
} from "./frames.ts";
import {
  BAD_REQUEST,
  BREAKS,
  CONNECT_MS,
  CONVERSATIONS,
  GREETING_BYTES,
  HEARTBEAT_LOST,
  HELLO_TIMEOUT,
  LONGEST_MS,
  NORMAL,
  NOT_LEVEL,
  PONG_MS,
  REFUSALS,
  REQUESTS,
  SILENCE,
  TOO_BIG,
} from "./limits.ts";
import type { Action, Answer, News, State } from "./news.ts";
import { type Refusal, refusal, refuse } from "./offer.ts";
import {
  type Asked,
  free,
  isAsked,
  match,
  type Request,
  type RequestFrame,
  request,
} from "./outbox.ts";
import { type Position, Replica } from "./replica.ts";
import { utf8Length } from "./text.ts";

export type { Action, News, Refusal, RequestFrame, State };

export interface SessionOptions {
  readonly token?: string;
  readonly info?: ClientInfo;
  /** It measures what is to be sent. */
  readonly codec?: Codec;
}

type Due = "welcome" | "silence" | "pong" | "reconnect";

/** For the machine itself; others only read. */
type Writable = { -readonly [Name in "state" | "welcome"]: Session[Name] };

/** A client, what it follows and what it asks. */
export class Session {
  readonly state: State = "stopped";
  /** The newest one; it outlives its connection. */
  readonly welcome: WelcomeFrame | undefined;
  readonly #replicas = new Map<string, Replica>();
  readonly replicas: ReadonlyMap<string, Replica> = this.#replicas;
  readonly #size: (frame: ClientFrame) => number;
  #hello: HelloFrame;
  #untried = false; // a token came after the one that the server knows
  #outbox: Request[] = [];
  #pings = 0;
  /** What time alone brings about, and when. */
  #due: Partial<Record<Due, number>> = {};
  #failures = 0; // connections in a row that did not last
  #openedAt = Infinity;
  #notBefore = 0; // named by the server: nothing cuts it short, as our own may be
  /** What is to be done; whoever called in takes it along. */
  readonly #actions: Action[] = [];

  constructor({ token, info, codec = json }: SessionOptions = {}) {
    this.#hello = { type: "hello", ...(token && { token }), ...(info && { client: info }) };
    this.#size = (frame) => utf8Length(codec.encode(frame));
  }

  /** How many frames have no answer yet. */
  get unanswered(): number {
    return this.#outbox.length;
  }

  /** When `tick` is due next. */
  get deadline(): number {
    const times = this.#free().map((one) => one.notBefore);
    return Math.min(Infinity, ...Object.values(this.#due), ...times);
  }

  /** A token that does not fit in `hello`: the handshake's `Authorization` brings it. */
  get bearer(): string | undefined {
    return this.#size(this.#hello) > GREETING_BYTES ? this.#hello.token : undefined;
  }

  /** Whether frames may leave. */
  get #greeted(): boolean {
    return this.state === "open" || this.state === "draining";
  }

  /** Whether there is a socket, or one is asked for. */
  get #socketed(): boolean {
    return this.state !== "stopped" && this.state !== "waiting";
  }

  /** Whether no more conversations can be followed. */
  get #full(): boolean {
    const most = this.welcome?.limits.attached_conversations ?? CONVERSATIONS;
    return this.#replicas.size >= most;
  }

  // What the application wants.

  /** Begin, or begin again. */
  connect(now: number): Action[] {
    if (this.#socketed) throw new Error(this.state);
    this.#move("connecting");
    this.#due = { welcome: now + CONNECT_MS };
    return this.#take({ type: "connect" });
  }

  /** End it; what is followed and what has no answer stays for another `connect`. */
  stop(): Action[] {
    const closes = this.#socketed;
    if (this.state !== "stopped") this.#end(NORMAL);
    if (closes) this.#close(NORMAL);
    return this.#take();
  }

  /** The network is back or somebody looks: cut our own waiting short, or ask for life. */
  wake(now: number): Action[] {
    if (this.#greeted) this.#ping(now);
    if (this.state !== "waiting") return this.#take();
    this.#due.reconnect = Math.max(now, this.#notBefore);
    return this.tick(now);
  }

  /** Ask; "answered" follows. It waits behind what goes `into` the same conversation. */
  submit(frame: RequestFrame, now: number, into?: string): Action[] {
    const full = this.#outbox.filter(isAsked).length >= REQUESTS;
    const answer = full ? refusal("overloaded", "requests") : this.#refusal(frame);
    if (answer) return this.#take({ type: "answered", request: frame, answer });
    this.#outbox.push(request(frame, into));
    this.#flush(now);
    return this.#take();
  }

  /** Take back a request that never left, or `anyhow`; then no "answered" follows. False: it did leave. */
  withdraw(frame: RequestFrame, anyhow = false): boolean {
    return this.#remove(this.#outbox.find((one) => one.frame === frame && (anyhow || !one.known)));
  }

  /** Bring the conversation level and keep it so; "updated" or "unfollowed" follows. */
  follow(conversation: string, now: number, history?: number): Action[] {
    if (this.#replicas.has(conversation)) return [];
    if (this.#full) {
      const why = refusal("quota_exceeded", "attached_conversations");
      return this.#take({ type: "unfollowed", conversation, why });
    }
    this.#attach(this.#begin(conversation, history), now);
    return this.#take();
  }

  /** Stop following. */
  unfollow(conversation: string, now: number): Action[] {
    if (!this.#replicas.delete(conversation)) return [];
    this.#forget(conversation);
    this.#ask({ type: "detach", conversation }, now);
    return this.#take();
  }

  /** Use this token from now on. */
  auth(token: string, now: number): Action[] {
    this.#hello = { ...this.#hello, token };
    this.#untried = true;
    this.#ask({ type: "auth", token }, now);
    return this.#take();
  }

  /** Somebody types; worth nothing later, so it is not kept. */
  typing(conversation: string): Action[] {
    if (this.#greeted) this.#send({ type: "typing", conversation });
    return this.#take();
  }

  // What happens to the socket.

  /** The socket that "connect" asked for is open. */
  opened(): Action[] {
    if (this.state !== "connecting") throw new Error(this.state);
    this.#move("greeting");
    this.#untried = false;
    // The newest first: it is the likeliest to be looked at.
    const wanted = [...this.#replicas.values()].reverse().map((replica) => replica.wanted());
    const { token, ...anonymous } = this.#hello;
    const hello = greeting(this.bearer ? anonymous : this.#hello, wanted, this.#size);
    const named = hello.attach?.length ?? 0;
    this.#outbox.unshift(
      ...wanted.map((one, at) => request({ type: "attach", ...one }, undefined, at < named)),
    );
    this.#send(hello);
    return this.#take();
  }

  /** The socket has ended or never opened; an HTTP refusal may have named a delay. */
  closed(code: number, now: number, chance: number, retryAfter = 0): Action[] {
    if (!this.#socketed) return [];
    const what = advice(code);
    if (what === "stop") {
      // The bytes of a request may be why it closed so; sent again, they would do it again.
      const why = code === TOO_BIG ? "payload_too_large" : "invalid_frame";
      if (code <= BAD_REQUEST) this.#refuseEach(({ sent }) => sent && refusal(why, `${code}`));
      this.#end(code);
    } else if (what === "renew" && !this.#untried) {
      this.#end(code);
      this.#do({ type: "need_token", why: "expired" });
    } else {
      if (now - this.#openedAt >= LONGEST_MS) this.#failures = 0;
      this.#openedAt = Infinity;
      this.#notBefore = Math.max(this.#notBefore, now + retryAfter);
      // What the server named overrides our own delay, but cannot undercut it: else one that sends
      // everybody away at once, with no delay, would see them again at once, for ever.
      const wait = Math.max(this.#notBefore - now, delay(this.#failures++, chance));
      this.#move("waiting", { close: code, wait });
      this.#letGo();
      this.#due.reconnect = now + wait;
    }
    return this.#take();
  }

  /** Take a frame, as the encoding has read it. */
  receive(frame: ServerFrame, now: number, chance: number): Action[] {
    if (typeof (frame as Partial<ServerFrame> | null)?.type === "string") {
      if (this.#greeted) {
        this.#listen(now);
        this.#read(frame, now, chance);
      } else if (this.state === "greeting") {
        if (frame.type === "welcome") this.#welcomed(frame, now);
        // Of `hello`: its writer should know, for 4001 says less.
        if (frame.type === "error") this.#do({ type: "heard", frame });
      }
    }
    return this.#take();
  }

  /** Do what is due at `now`. */
  tick(now: number): Action[] {
    const due = (what: Due) => (this.#due[what] ?? Infinity) <= now && delete this.#due[what];
    if (due("welcome")) this.#close(HELLO_TIMEOUT);
    else if (due("pong")) this.#close(HEARTBEAT_LOST);
    else if (due("reconnect")) {
      if (this.state === "waiting") return this.connect(now);
      this.#close(NORMAL);
    } else {
      if (due("silence")) this.#ping(now);
      this.#flush(now);
    }
    return this.#take();
  }

  // What follows from it.

  #do(...actions: Action[]): void {
    this.#actions.push(...actions);
  }

  #take(...last: Action[]): Action[] {
    this.#do(...last);
    return this.#actions.splice(0);
  }

  #send(frame: ClientFrame): void {
    this.#do({ type: "send", frame });
  }

  #close(code: number): void {
    this.#do({ type: "close", code });
  }

  #move(state: State, why: { readonly close?: number; readonly wait?: number } = {}): void {
    (this as Writable).state = state;
    this.#do({ type: "moved", state, ...why });
  }

  #end(close: number): void {
    this.#move("stopped", { close });
    this.#letGo();
  }

  /** The next `hello` says again what was about the connection alone, or leaves it out. */
  #letGo(): void {
    this.#due = {};
    this.#outbox = this.#outbox.filter(isAsked);
    for (const one of this.#outbox) one.sent = false;
    for (const replica of this.#replicas.values()) replica.lost();
  }

  #read(frame: ServerFrame, now: number, chance: number): void {
    switch (frame.type) {
      case "welcome":
        break;
      case "goaway":
        if (this.state === "open") {
          const wait = frame.reconnect_after_ms;
          this.#notBefore = this.#due.reconnect = now + wait;
          this.#move("draining", { wait });
        }
        break;
      case "pong":
        delete this.#due.pong;
        break;
      case "expiring":
        this.#do({ type: "need_token", why: "expiring" });
        break;
      case "attached":
        this.#attached(frame, now);
        break;
      case "ack":
      case "ok":
      case "history":
      case "error":
        this.#answered(frame, now, chance);
        break;
      case "conversations":
      case "typing":
      case "presence":
      case "notice":
        this.#do({ type: "heard", frame });
        break;
      default:
        this.#apply(frame, now);
    }
  }

  #welcomed(welcome: WelcomeFrame, now: number): void {
    this.#move("open");
    // What one person asked another one does not ask.
    const { user } = this.welcome ?? welcome;
    const theirs = user !== welcome.user && refusal("forbidden", "user");
    (this as Writable).welcome = welcome;
    this.#openedAt = now;
    this.#due = {};
    this.#listen(now);
    this.#do({ type: "heard", frame: welcome });
    // What left before may have been taken: only the server can say what became of it.
    this.#refuseEach((one) => theirs || (!one.known && this.#refusal(one.frame)));
    this.#flush(now);
  }

  /** The server is alive; when to ask whether it still is. */
  #listen(now: number): void {
    this.#due.silence = now + SILENCE * (this.welcome as WelcomeFrame).heartbeat_s;
  }

  #ping(now: number): void {
    if (this.#due.pong) return;
    this.#due.pong = now + PONG_MS;
    this.#send({ type: "ping", id: `ping-${++this.#pings}` });
  }

  /** Why the server would refuse `frame`, as far as it has said what it takes. */
  #refusal(frame: RequestFrame): Refusal | undefined {
    if (!this.welcome) return undefined;
    return this.#size(frame) > this.welcome.limits.client_frame_bytes
      ? refusal("payload_too_large", "client_frame_bytes")
      : refuse(frame, this.welcome);
  }

  /** Answer those of the application's requests that `why` has something against. */
  #refuseEach(why: (one: Asked) => Refusal | false | undefined): void {
    for (const one of this.#outbox.filter(isAsked)) {
      const answer = why(one);
      if (answer) {
        this.#remove(one);
        this.#do({ type: "answered", request: one.frame, answer });
      }
    }
  }

  /** Put a frame about the connection at the end; before `hello` it is not needed. */
  #ask(frame: Request["frame"], now: number): void {
    if (this.#greeted || this.state === "greeting") {
      this.#outbox.push(request(frame));
      this.#flush(now);
    }
  }

  /** What nothing but its time keeps back. */
  #free(): Request[] {
    return this.#greeted ? free(this.#outbox, this.state === "open") : [];
  }

  /** Send what may leave now. */
  #flush(now: number): void {
    for (;;) {
      const next = this.#free().find((one) => one.notBefore <= now);
      if (!next) break;
      next.sent = next.known = true;
      this.#send(next.frame);
    }
  }

  /** It has its answer, or none is wanted any more; false if there is no such request. */
  #remove(one: Request | undefined): boolean {
    const before = this.#outbox.length;
    this.#outbox = this.#outbox.filter((other) => other !== one);
    return this.#outbox.length < before;
  }

  #begin(conversation: string, history?: number, at?: Position): Replica {
    const replica = new Replica(conversation, history, at);
    this.#replicas.set(conversation, replica);
    return replica;
  }

  #attach(replica: Replica, now: number): void {
    this.#forget(replica.conversation);
    this.#ask({ type: "attach", ...replica.wanted() }, now);
  }

  /** Drop an attachment that still waits: it says an older position. */
  #forget(conversation: string): void {
    this.#remove(this.#about("attach", conversation).find((one) => !one.sent));
  }

  #about(type: "attach" | "detach", conversation: string): Request[] {
    return this.#outbox.filter((one) => one.frame.type === type && one.ref === conversation);
  }

  #attached(frame: AttachedFrame, now: number): void {
    const { conversation } = frame;
    this.#remove(match(this.#outbox, frame)); // none: an epoch has ended, or an `ack` is to come
    if (!this.#about("detach", conversation).length) {
      if (!this.#replicas.has(conversation) && !this.#full) this.#begin(conversation);
      if (!this.#apply(frame, now)) return;
    }
    this.#flush(now);
  }

  /** False if the connection is given up. */
  #apply(frame: ServerFrame, now: number): boolean {
    const replica = homeOf(frame, this.#replicas);
    const effect = replica?.apply(frame);
    if (effect === "applied" && replica) {
      this.#do({ type: "updated", conversation: replica.conversation, frame });
    } else if (replica && (effect === "hole" || effect === "mismatch")) {
      if (replica.breaks > BREAKS) {
        this.#close(NOT_LEVEL);
        return false;
      }
      this.#attach(replica, now);
    }
    return true;
  }

  #answered(answer: Answer, now: number, chance: number): void {
    const found = match(this.#outbox, answer);
    const error = answer.type === "error" && answer;
    if (!found) {
      if (error) this.#do({ type: "heard", frame: error });
    } else if (error && isWorthAnotherTry(found, error)) {
      const wait = Math.max(error.retry_after_ms ?? 0, delay(found.refusals++, chance));
      found.sent = false;
      found.notBefore = now + wait;
      this.#do({ type: "delayed", request: found.frame as RequestFrame, error, wait });
    } else {
      this.#remove(found);
      this.#settle(found.frame, answer, now);
      this.#flush(now);
    }
  }

  #settle(frame: Request["frame"], answer: Answer, now: number): void {
    const error = answer.type === "error" && answer;
    if (frame.type === "auth") {
      this.#untried = frame.token !== this.#hello.token;
      if (error) this.#do({ type: "need_token", why: "refused" });
    } else if (frame.type === "attach") {
      const { conversation } = frame;
      if (error && this.#replicas.delete(conversation)) {
        this.#do({ type: "unfollowed", conversation, why: error });
      }
    } else if (frame.type !== "detach") {
      this.#do({ type: "answered", request: frame, answer });
      if (answer.type === "ack") this.#acknowledged(frame, answer, now);
      if (answer.type === "history" && frame.type === "history") {
        this.#replicas.get(frame.conversation)?.merge(answer.messages);
      }
    }
  }

  /**
   * Sending attaches. Only of a new conversation does that tell everything. In an older one the
   * position lies behind rows and unfinished answers that nothing here knows, whose later frames
   * would make no sense: so a snapshot is asked for.
   */
  #acknowledged(frame: RequestFrame, ack: AckFrame, now: number): void {
    const { conversation, epoch, seq } = ack;
    if (this.#replicas.has(conversation) || this.#about("detach", conversation).length) return;
    if (frame.type === "chat" && frame.conversation == null) {
      this.#begin(conversation, undefined, { epoch, seq });
    } else {
      this.#attach(this.#begin(conversation), now);
    }
  }
}

/** Whether to ask again later: not where the application chose to be told at once. */
function isWorthAnotherTry(one: Request, error: ErrorFrame): boolean {
  const told = error.code === "busy" && (one.frame as Partial<ChatFrame>).on_busy === "reject";
  return error.retryable && (one.refusals < REFUSALS || !isAsked(one)) && !told;
}
