/** What was asked in a conversation and has no place among the server's rows yet. */

import { Answer, type Home } from "./answer.ts";
import type { Settled } from "./client.ts";
import type { Desk } from "./conversation.ts";
import { ParleyError } from "./errors.ts";
import type { AckFrame, ClientFrame } from "./frames.ts";
import { type Asking, type Kept, keptIn, leave, load, place, save } from "./keeping.ts";
import type { Replica } from "./replica.ts";
import type { Asked, Delivery } from "./screen.ts";

/** What it asks of its conversation. */
interface Opened extends Home {
  readonly id: string | undefined;
  accepted(answer: Answer, ack: AckFrame): void;
  changed(): void;
}

export class Pending {
  list: readonly Asked[] = [];
  readonly #desk: Desk;
  readonly #home: Opened;
  #unnamed: string | undefined; // where they are kept until the conversation has a name
  readonly #held = new Set<string>(); // the ids of all that was ever in the list
  #opened = false;
  #restoring = false; // what an earlier page left waits until we know who we are

  constructor(desk: Desk, home: Opened) {
    this.#desk = desk;
    this.#home = home;
  }

  /** Takes up what an earlier page left. */
  open(): void {
    if (!this.#opened) {
      this.#opened = true;
      const { store, key } = this.#desk;
      const { id } = this.#home;
      if (id === undefined) this.#unnamed = place(store, key, true);
      const kept = keptIn(load(store, key), id ?? this.#unnamed);
      this.#restoring = kept.length > 0;
      const restored: Asked[] = kept.map(({ refused, ...rest }) => ({
        ...rest,
        answer: new Answer(this.#home),
        delivery: refused ? "failed" : "unsent",
        error: refused && new ParleyError(refused.code, refused.message, refused),
      }));
      for (const { frame } of restored) this.#held.add(frame.id);
      this.list = [...restored, ...this.list];
    }
    const user = this.#desk.user(); // told also while it was closed
    if (user) this.welcomed(user);
  }

  /** Whether an answer to anything is to come. */
  get under(): boolean {
    return this.list.some((one) => one.under && !one.ack && !one.error);
  }

  add(asking: Asking): Answer {
    const answer = new Answer(this.#home);
    // A copy: whatever its writer does to it later, under its id it says the same.
    const frame = JSON.parse(JSON.stringify(asking)) as Asking;
    this.#held.add(frame.id);
    const [at, by] = [new Date().toISOString(), this.#desk.user()];
    this.list = [...this.list, { frame, answer, at, by, delivery: "unsent" }];
    this.#changed();
    return answer;
  }

  /** Sends a failed one again, with its own id. */
  retry(id: string): Answer | undefined {
    const asked = this.list.find(({ frame }) => frame.id === id);
    if (asked?.error) {
      asked.answer = new Answer(this.#home);
      asked.error = undefined;
      asked.under = false;
      this.#mark(asked, "unsent");
    }
    return asked?.answer;
  }

  /** Gives up one that failed or did not leave; one that did may be taken, and is stopped then. */
  stop(asked: Asked): void {
    if (asked.error || !asked.under || this.#desk.withdraw(asked.frame)) {
      asked.answer.fail(new ParleyError("withdrawn", "It was taken back before it was sent."));
      this.#drop(asked);
    } else {
      asked.stopping = true;
      this.#changed();
    }
  }

  /** The server knows us by this name: what somebody else wrote here is not ours to send. */
  welcomed(user: string): void {
    const error = new ParleyError("withdrawn", "It was somebody else's.");
    this.list = this.list.filter(
      (asked) => (asked.by ??= user) === user || asked.answer.fail(error),
    );
    this.#restoring = false;
    this.#changed();
  }

  /** Nothing leaves any more, until somebody connects anew and tries it again. */
  shutOut(error: ParleyError): void {
    for (const one of this.list) if (!one.ack && !one.error) this.#settle(one, error);
  }

  /** The conversation is left, or has a name; what is unsent in it stays where it is kept. */
  close(): void {
    const { store, key } = this.#desk;
    leave(store, key, this.#unnamed);
    this.#unnamed = undefined;
  }

  /** A frame has left, or waits for its turn again; without a frame, all that have no answer. */
  moved(delivery: Delivery, frame?: ClientFrame): void {
    for (const one of this.list)
      if (frame ? one.frame === frame : !one.ack && !one.error) this.#mark(one, delivery);
  }

  /** Lets go of what has come among the rows. */
  tidy(replica: Replica | undefined): void {
    this.list = this.list.filter(({ ack }) => !ack || !replica?.messages.has(ack.answer));
  }

  /** It has its answer, wherever that is. */
  ended(answer: string): void {
    this.list = this.list.filter(({ ack }) => ack?.answer !== answer);
  }

  /** Those that may leave do. Where nobody has named the conversation yet, the first one makes it. */
  #leave(): void {
    if (this.#restoring) return;
    for (const asked of this.list) {
      const { id } = this.#home;
      if (id === undefined && asked !== this.list[0]) return;
      if (asked.under || asked.error) continue;
      if (id !== undefined && !asked.known && asked.frame.type === "chat") {
        asked.frame = { ...asked.frame, conversation: id };
      }
      asked.under = asked.known = true;
      this.#desk.submit(asked.frame, (reply) => this.#settle(asked, reply), id);
    }
  }

  #settle(asked: Asked, reply: Settled): void {
    if (reply instanceof ParleyError) {
      asked.error = reply;
      asked.answer.fail(reply);
      // Nothing that a person wrote is lost by a refused repetition.
      if (asked.frame.type === "regenerate" || asked.stopping) {
        this.#drop(asked);
        this.#desk.failed(reply);
      } else this.#mark(asked, "failed");
    } else if (reply.type === "ack") {
      asked.ack = reply;
      this.#home.accepted(asked.answer, reply);
      this.#changed();
      if (asked.stopping) void asked.answer.stop().catch(() => {});
    }
  }

  #mark(asked: Asked, delivery: Delivery): void {
    asked.delivery = delivery;
    asked.shown = undefined;
    this.#changed();
  }

  #drop(asked: Asked): void {
    this.list = this.list.filter((one) => one !== asked);
    this.#changed();
  }

  #changed(): void {
    this.#leave();
    this.#keep(this.list.filter(({ ack }) => !ack).map(kept));
    this.#home.changed();
  }

  #keep(unsent: readonly Kept[]): void {
    const { store, key } = this.#desk;
    const { id } = this.#home;
    if (id === undefined) {
      if (unsent.length) this.#unnamed ??= place(store, key, false);
      save(store, key, this.#unnamed, unsent, this.#held);
    } else {
      save(store, key, this.#unnamed, [], this.#held);
      this.close();
      save(store, key, id, unsent, this.#held);
    }
  }
}

function kept({ frame, at, by, error, stopping }: Asked): Kept {
  const { code, message, retryable } = error ?? ({} as ParleyError);
  return { frame, at, by, stopping, refused: error && { code, message, retryable } };
}
