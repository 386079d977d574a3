import type { ParleyError } from "./errors.ts";
import { Emitter } from "./events.ts";
import type { AckFrame } from "./frames.ts";
import type { ChatMessage } from "./screen.ts";

/** What an answer says now. `delta` is what is new; without it what was said before is given up: show `text`. */
export interface Piece {
  readonly text: string;
  readonly delta: string | undefined;
}

export interface AnswerEvents {
  text: Piece;
  /** Anything about it is another: its text, thought, state, tools or citations. */
  change: undefined;
}

/** What an answer asks of the conversation that it belongs to. */
export interface Home {
  message(id: string): ChatMessage | undefined;
  halt(answer: Answer): Promise<void>;
}

/** An answer to a message of ours, from before it is accepted until it has ended. */
export class Answer extends Emitter<AnswerEvents> implements AsyncIterable<Piece> {
  readonly #accepted = new Later<AckFrame>();
  readonly #done = new Later<ChatMessage>();
  readonly #home: Home;
  #id: string | undefined;
  #ended = false;
  #failure: ParleyError | undefined;
  #whole: ChatMessage | undefined; // for where its row is not shown any more
  #breaks = 0; // how often what was said before was given up
  #told = { text: "", breaks: 0 };
  #news = new Later<void>();

  /** @internal */
  constructor(home: Home, id?: string) {
    super();
    this.#home = home;
    this.#id = id;
  }

  /** Its name, once it is accepted. */
  get id(): string | undefined {
    return this.#id;
  }

  /** Fails with a `ParleyError` where the server does not take the message. Of one that was taken before, `done` alone tells. */
  get accepted(): Promise<AckFrame> {
    return this.#accepted.promise;
  }

  /** The whole answer, however it ended. Fails only as `accepted` does, or where its conversation is gone. */
  get done(): Promise<ChatMessage> {
    return this.#done.promise;
  }

  /** As it stands now, once it is known. */
  get message(): ChatMessage | undefined {
    return this.#home.message(this.#id ?? "") ?? this.#whole;
  }

  get text(): string {
    return this.message?.content ?? "";
  }

  get thought(): string {
    return this.message?.thought ?? "";
  }

  /** Ends it, here and everywhere; before it was sent, takes the message back. */
  stop(): Promise<void> {
    return this.#home.halt(this);
  }

  /** What it says, piece by piece; a slow reader gets bigger ones. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Piece, void> {
    if (this.#id === undefined) await this.accepted;
    const told = { text: "", breaks: this.#breaks };
    for (;;) {
      const piece = this.#piece(told);
      if (piece) yield piece;
      else if (this.#failure) throw this.#failure;
      else if (this.#ended) return;
      else await this.#news.promise;
    }
  }

  /** @internal */
  accept(ack: AckFrame): void {
    this.#id = ack.answer;
    this.#accepted.resolve(ack);
  }

  /** @internal Something about it is another; `breaks`: its text may be. */
  took(breaks: boolean): void {
    if (breaks) this.#breaks++;
    const piece = this.heard("text") && this.#piece(this.#told);
    if (piece) this.emit("text", piece);
    this.emit("change", undefined);
    this.#news.resolve();
    this.#news = new Later();
  }

  /** @internal */
  end(row: ChatMessage): void {
    this.#ended = true;
    this.#whole = row;
    this.took(true);
    this.#done.resolve(row);
  }

  /** @internal */
  fail(error: ParleyError): void {
    this.#ended = true;
    this.#failure = error;
    this.#accepted.reject(error);
    this.#done.reject(error);
    this.#news.resolve();
  }

  #piece(told: { text: string; breaks: number }): Piece | undefined {
    const { text } = this;
    // Only after a break is it worth reading through: else the text has grown at its end.
    const broken = told.breaks !== this.#breaks && !text.startsWith(told.text);
    told.breaks = this.#breaks;
    if (!broken && text.length === told.text.length) return undefined;
    const delta = broken ? undefined : text.slice(told.text.length);
    told.text = text;
    return { text, delta };
  }
}

/** A promise that others keep. Whoever wants to know of its failure asks; nobody must. */
class Later<Value> {
  resolve!: (value: Value) => void;
  reject!: (error: ParleyError) => void;
  readonly promise = new Promise<Value>((resolve, reject) => {
    this.resolve = resolve;
    this.reject = reject;
  });

  constructor() {
    this.promise.catch(() => {});
  }
}
