/** What was asked in a conversation and has no place among the server's rows yet. */

import { Answer, type Source } from "./answer.ts";
import type { Settled } from "./client.ts";
import { ParleyError } from "./errors.ts";
import type { AckFrame, ClientFrame } from "./frames.ts";
import { type Asking, load, save } from "./keeping.ts";
import type { Store } from "./outside.ts";
import type { Replica } from "./replica.ts";
import type { Asked, Delivery } from "./screen.ts";
import type { RequestFrame } from "./session.ts";

/** What it asks of its conversation, and of the client behind that. */
export interface Counter extends Source {
  readonly store: Store;
  /** Where in the store it is kept. */
  key(): string;
  conversation(): string | undefined;
  user(): string | undefined;
  submit(frame: RequestFrame, settle: (reply: Settled) => void): void;
  withdraw(frame: Asking): boolean;
  accepted(answer: Answer, ack: AckFrame): void;
  changed(): void;
}

export class Pending {
  list: readonly Asked[] = [];
  readonly #counter: Counter;
  #sender: string | undefined; // of what an earlier page left, until we know who we are
  #restoring: boolean;

  constructor(counter: Counter) {
    this.#counter = counter;
    const { user, kept } = load(counter.store, counter.key());
    this.#sender = user;
    this.#restoring = kept.length > 0;
    this.list = kept.map(({ frame, at, refused }) => ({
      frame,
      at,
      answer: new Answer(counter),
      delivery: refused ? "failed" : "unsent",
      error: refused && new ParleyError(refused.code, refused.message),
    }));
    const known = counter.user();
    if (known !== undefined) this.welcomed(known);
  }

  add(frame: Asking): Answer {
    const answer = new Answer(this.#counter);
    this.list = [...this.list, { frame, at: new Date().toISOString(), answer, delivery: "unsent" }];
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
    } else asked.stopping = true;
  }

  /** The server knows us by this name: what somebody else left here is not ours to send. */
  welcomed(user: string): void {
    if (!this.#restoring) return;
    this.#restoring = false;
    if (this.#sender !== undefined && this.#sender !== user) this.list = [];
    this.#leave();
    this.#changed();
  }

  /** A frame has left, or waits for its turn again. */
  moved(frame: ClientFrame, delivery: Delivery): void {
    const asked = this.list.find((one) => one.frame === frame);
    if (asked) this.#mark(asked, delivery);
  }

  /** Lets go of what has come among the rows. */
  tidy(replica: Replica | undefined): void {
    const waiting = this.list.filter(({ ack }) => !ack || !replica?.messages.has(ack.answer));
    if (waiting.length !== this.list.length) this.list = waiting;
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
      this.#counter.submit(asked.frame, (reply) => this.#settle(asked, reply));
    }
  }

  #settle(asked: Asked, reply: Settled): void {
    if (reply instanceof ParleyError) {
      asked.error = reply;
      asked.answer.fail(reply);
      // Nothing that a person wrote is lost by a refused repetition.
      if (asked.frame.type === "regenerate" || asked.stopping) this.#drop(asked);
      else this.#mark(asked, "failed");
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
    const { store, user } = this.#counter;
    const kept = this.list
      .filter(({ ack }) => !ack)
      .map(({ frame, at, error, delivery }) => {
        const refused = delivery === "failed" &&
          error && { code: error.code, message: error.message };
        return { frame, at, ...(refused && { refused }) };
      });
    save(store, this.#counter.key(), { user: user() ?? this.#sender, kept });
    this.#counter.changed();
  }
}
