/** What was asked in a conversation and has no place among the server's rows yet. */

import { Answer, type Source } from "./answer.ts";
import type { Settled } from "./client.ts";
import { ParleyError } from "./errors.ts";
import type { AckFrame, ClientFrame } from "./frames.ts";
import { type Asking, type Kept, leave, load, place, save } from "./keeping.ts";
import type { Store } from "./outside.ts";
import type { Replica } from "./replica.ts";
import type { Asked, Delivery } from "./screen.ts";
import type { RequestFrame } from "./session.ts";

/** What it asks of its conversation, and of the client behind that. */
export interface Counter extends Source {
  readonly store: Store;
  /** What its places in the store begin with. */
  readonly prefix: string;
  conversation(): string | undefined;
  user(): string | undefined;
  /** `into`: a conversation whose branch it changes, so that one waits behind the other. */
  submit(frame: RequestFrame, settle: (reply: Settled) => void, into?: string): void;
  /** Asks for it no more; `anyhow`: also if it has left. */
  withdraw(frame: Asking, anyhow?: boolean): boolean;
  accepted(answer: Answer, ack: AckFrame): void;
  changed(): void;
  failed(error: ParleyError): void;
}

export class Pending {
  list: readonly Asked[] = [];
  readonly #counter: Counter;
  #unnamed: string | undefined; // where they are kept until the conversation has a name
  #opened = false;
  #restoring = false; // what an earlier page left waits until we know who we are

  constructor(counter: Counter) {
    this.#counter = counter;
  }

  /** Takes up what an earlier page left. */
  open(): void {
    if (this.#opened) return;
    this.#opened = true;
    const counter = this.#counter;
    const { store, prefix } = counter;
    const named = counter.conversation();
    if (named === undefined) this.#unnamed = place(store, prefix, true);
    const from = named ?? this.#unnamed;
    const kept = from === undefined ? [] : load(store, prefix, from);
    this.#restoring = kept.length > 0;
    const restored: Asked[] = kept.map(({ frame, at, by, refused, stopping = false }) => ({
      frame,
      at,
      by,
      stopping,
      answer: new Answer(counter),
      delivery: refused ? "failed" : "unsent",
      error: refused && new ParleyError(refused.code, refused.message, refused),
    }));
    this.list = [...restored, ...this.list];
    const user = counter.user();
    if (user !== undefined) this.welcomed(user);
  }

  add(asking: Asking): Answer {
    const answer = new Answer(this.#counter);
    // A copy: whatever its writer does to it later, under its id it says the same.
    const frame = JSON.parse(JSON.stringify(asking)) as Asking;
    const asked = { frame, answer, at: new Date().toISOString(), by: this.#counter.user() };
    this.list = [...this.list, { ...asked, delivery: "unsent" }];
    this.#leave();
    this.#changed();
    return answer;
  }

  /** Sends a failed one again, with its own id. */
  retry(id: string): Answer | undefined {
    const asked = this.list.find(({ frame }) => frame.id === id);
    if (asked?.delivery === "failed") {
      asked.answer = new Answer(this.#counter);
      asked.error = undefined;
      asked.under = false;
      this.#mark(asked, "unsent");
      this.#leave();
    }
    return asked?.answer;
  }

  /** Gives up one that failed or did not leave; one that did may be taken, and is stopped then. */
  stop(asked: Asked): void {
    const unsent = !asked.under || this.#counter.withdraw(asked.frame);
    if (asked.delivery === "failed" || unsent) {
      asked.answer.fail(new ParleyError("withdrawn", "It was taken back before it was sent."));
      this.#drop(asked);
    } else {
      asked.stopping = true;
      this.#changed();
    }
  }

  /** The server knows us by this name: what somebody else wrote here is not ours to send. */
  welcomed(user: string): void {
    const theirs = this.list.filter(({ by = user }) => by !== user);
    this.list = this.list.filter((asked) => !theirs.includes(asked));
    for (const { answer, frame } of theirs) {
      this.#counter.withdraw(frame);
      answer.fail(new ParleyError("withdrawn", "Somebody else wrote it."));
    }
    if (!theirs.length && !this.#restoring) return;
    this.#restoring = false;
    this.#leave();
    this.#changed();
  }

  /** Nothing leaves any more, until somebody connects anew and tries it again. */
  shutOut(error: ParleyError): void {
    for (const asked of this.list) {
      if (asked.ack || asked.delivery === "failed") continue;
      this.#counter.withdraw(asked.frame, true);
      this.#settle(asked, error);
    }
  }

  /** The conversation is left; what is unsent in it stays where it is kept. */
  close(): void {
    const { store, prefix } = this.#counter;
    if (this.#unnamed !== undefined) leave(store, prefix, this.#unnamed);
    this.#unnamed = undefined;
  }

  /** A frame has left, or waits for its turn again; without a frame, all that have no answer. */
  moved(delivery: Delivery, frame?: ClientFrame): void {
    for (const one of this.list)
      if (frame ? one.frame === frame : !one.ack && !one.error) this.#mark(one, delivery);
  }

  /** Lets go of what has come among the rows. */
  tidy(replica: Replica | undefined): void {
    const waiting = this.list.filter(({ ack }) => !ack || !replica?.messages.has(ack.answer));
    if (waiting.length !== this.list.length) this.list = waiting;
  }

  /** It has its answer, wherever that is. */
  ended(answer: string): void {
    this.list = this.list.filter(({ ack }) => ack?.answer !== answer);
  }

  /** Those that may leave do. Where nobody has named the conversation yet, the first one makes it. */
  #leave(): void {
    if (this.#restoring) return;
    for (const asked of this.list) {
      const named = this.#counter.conversation();
      if (named === undefined && asked !== this.list[0]) return;
      if (asked.under || asked.delivery === "failed") continue;
      if (named !== undefined && !asked.known && asked.frame.type === "chat") {
        asked.frame = { ...asked.frame, conversation: named };
      }
      asked.under = asked.known = true;
      this.#counter.submit(asked.frame, (reply) => this.#settle(asked, reply), named);
    }
  }

  #settle(asked: Asked, reply: Settled): void {
    if (reply instanceof ParleyError) {
      asked.error = reply;
      asked.answer.fail(reply);
      // Nothing that a person wrote is lost by a refused repetition.
      if (asked.frame.type === "regenerate" || asked.stopping) {
        this.#drop(asked);
        this.#counter.failed(reply);
      } else this.#mark(asked, "failed");
      return;
    }
    if (reply.type !== "ack") return;
    asked.ack = reply;
    this.#counter.accepted(asked.answer, reply);
    this.#leave();
    this.#changed();
    if (asked.stopping) void asked.answer.stop().catch(() => {});
  }

  #mark(asked: Asked, delivery: Delivery): void {
    asked.delivery = delivery;
    asked.shown = undefined;
    this.#changed();
  }

  #drop(asked: Asked): void {
    this.list = this.list.filter((one) => one !== asked);
    this.#leave();
    this.#changed();
  }

  #changed(): void {
    const kept = this.list
      .filter(({ ack }) => !ack)
      .map(({ frame, at, by, error, delivery, stopping }) => {
        const { code, message, retryable } = error ?? {};
        return {
          frame,
          at,
          ...(by !== undefined && { by }),
          ...(stopping && { stopping }),
          ...(delivery === "failed" && { refused: { code, message, retryable } }),
        } as Kept;
      });
    this.#keep(kept);
    this.#counter.changed();
  }

  #keep(kept: readonly Kept[]): void {
    const { store, prefix } = this.#counter;
    const named = this.#counter.conversation();
    if (named === undefined) {
      if (kept.length) this.#unnamed ??= place(store, prefix, false);
      if (this.#unnamed !== undefined) save(store, prefix, this.#unnamed, kept);
      return;
    }
    if (this.#unnamed !== undefined) {
      save(store, prefix, this.#unnamed, []);
      leave(store, prefix, this.#unnamed);
      this.#unnamed = undefined;
    }
    save(store, prefix, named, kept);
  }
}
