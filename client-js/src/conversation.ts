import { Answer } from "./answer.ts";
import type { Settled } from "./client.ts";
import { ParleyError } from "./errors.ts";
import { Emitter } from "./events.ts";
import type {
  Conversation as About,
  AckFrame,
  ChatFrame,
  ClientFrame,
  EditFrame,
  HistoryFrame,
  PresenceFrame,
  Rating,
  RegenerateFrame,
  ServerFrame,
  TypingFrame,
} from "./frames.ts";
import { mint, type Store } from "./outside.ts";
import { Pending } from "./pending.ts";
import type { Replica } from "./replica.ts";
import { type ChatMessage, type Delivery, Screen } from "./screen.ts";
import type { RequestFrame } from "./session.ts";

/** What a message may say beside its text. */
export type SendOptions = Omit<ChatFrame, "type" | "id" | "content" | "conversation">;

/** `submitted`: an answer is awaited that says nothing yet. */
export type Status = "ready" | "submitted" | "streaming" | "error";

export interface ConversationEvents {
  /** Anything is another; once per turn of the loop, however many frames came. */
  change: undefined;
  typing: TypingFrame;
  presence: PresenceFrame;
}

/** What a conversation asks of its client. */
export interface Desk {
  /** Where what is unsent is kept. */
  readonly store: Store;
  /** Where in the store. */
  readonly key: string;
  replica(id: string): Replica | undefined;
  user(): string | undefined;
  /** `into`: a conversation whose branch it changes, so that one waits behind the other. */
  submit(frame: RequestFrame, settle: (reply: Settled) => void, into?: string): void;
  /** Asks for it no more; `anyhow`: also if it has left. */
  withdraw(frame: RequestFrame, anyhow?: boolean): boolean;
  failed(error: ParleyError): void;
  typing(id: string): void;
  fetch(path: string): Promise<unknown>;
  now(): number;
  enter(one: Conversation): void;
  leave(one: Conversation): void;
}

const TYPING_MS = 3000;

/** One conversation: what is said in it, and what may be done. It is followed until `close`. */
export class Conversation extends Emitter<ConversationEvents> {
  readonly #desk: Desk;
  readonly #pending: Pending;
  readonly #screen = new Screen();
  readonly #answers = new Map<string, Answer>(); // those that somebody has, and that have not ended
  #id: string | undefined;
  #error: ParleyError | undefined;
  #shown: readonly ChatMessage[] | undefined;
  #scheduled = false;
  #closed = false;
  #typedAt = -Infinity;
  #sought: string | null = null;

  /** @internal */
  constructor(desk: Desk, id: string | undefined) {
    super();
    this.#desk = desk;
    this.#id = id;
    this.#pending = new Pending(desk, this);
  }

  /** Its name; a new one gets it when its first message is accepted. */
  get id(): string | undefined {
    return this.#id;
  }

  /** The active branch, oldest first; what is not accepted yet comes last. */
  get messages(): readonly ChatMessage[] {
    return (this.#shown ??= this.#screen.show(this.#replica, this.#pending.list, this.#id));
  }

  /** One message, on whatever branch, as far as it is known here. */
  message(id: string): ChatMessage | undefined {
    return this.#row(id) ?? this.messages.find((message) => message.id === id);
  }

  get status(): Status {
    const running = [...(this.#replica?.answers.values() ?? [])];
    if (running.some(({ text }) => text)) return "streaming";
    if (running.length || this.#pending.list.some(({ delivery }) => delivery !== "failed"))
      return "submitted";
    const last = this.messages.at(-1);
    return last?.delivery === "failed" || last?.outcome === "failed" ? "error" : "ready";
  }

  /** Its title and so on, as far as told. */
  get about(): About | undefined {
    return this.#replica?.about;
  }

  /** Whether there are older messages than those shown; `history` brings them. */
  get more(): boolean {
    const first = this.#replica && this.messages[0];
    return !!first?.parent && !first.delivery;
  }

  /** Whether what is shown is known to be up to date. */
  get level(): boolean {
    return this.#id === undefined || !!this.#replica?.level;
  }

  get leaf(): string | null {
    return this.#replica?.leaf ?? null;
  }

  /** Why it cannot be followed. */
  get error(): ParleyError | undefined {
    return this.#error;
  }

  send(content: string, options: SendOptions = {}): Answer {
    return this.#pending.add({ type: "chat", id: mint(), content, ...options });
  }

  /** An answer by its name, whoever asked for it: after a reload too it is read as it grows. */
  answer(id: string): Answer {
    let answer = this.#answers.get(id);
    if (!answer) {
      this.#answers.set(id, (answer = new Answer(this, id)));
      if (this.level) this.#tell(id);
    }
    return answer;
  }

  /** Another answer beside this one. */
  regenerate(answer: string, options: Pick<RegenerateFrame, "model" | "on_busy"> = {}): Answer {
    return this.#pending.add({ type: "regenerate", id: mint(), answer, ...options });
  }

  /** Another message in the place of an earlier one of ours, and an answer to it. */
  edit(message: string, content: string, options: Pick<EditFrame, "on_busy"> = {}): Answer {
    return this.#pending.add({ type: "edit", id: mint(), message, content, ...options });
  }

  /** Sends a failed message again, with the same id: it is never taken twice. */
  retry(message: string): Answer {
    const answer = this.#pending.retry(message);
    if (!answer) throw new ParleyError("not_found", "There is no such unsent message.");
    return answer;
  }

  /** Gives up a message that failed or was not sent. */
  discard(message: string): void {
    const asked = this.#pending.list.find(({ frame }) => frame.id === message);
    if (asked) this.#pending.stop(asked);
  }

  /** Ends an answer; without a name, all that this conversation waits for. */
  async stop(answer?: string): Promise<void> {
    const running = new Set(answer ? [answer] : this.#replica?.answers.keys());
    for (const one of answer ? [] : this.#pending.list) {
      if (one.ack) running.add(one.ack.answer);
      else if (one.delivery !== "failed") this.#pending.stop(one);
    }
    await Promise.all([...running].map((one) => this.#request({ type: "stop", answer: one })));
  }

  /** Makes the branch with this message the active one. */
  async select(leaf: string): Promise<void> {
    await this.#request({ type: "select", id: mint(), conversation: this.#named(), leaf });
  }

  /** Decides a call that awaits it, with exactly the arguments that were shown. */
  async approve(call: string, allow: boolean): Promise<void> {
    const running = [...(this.#replica?.answers.values() ?? [])]; // on whatever branch
    const tools = [...running, ...this.messages].flatMap((one) => one.tools ?? []);
    const args_hash = tools.find((tool) => tool.call === call)?.args_hash ?? "";
    await this.#request({ type: "approve", id: mint(), call, args_hash, allow });
  }

  /** What a tool of our own came to. */
  async toolResult(call: string, outcome: { content: string } | { error: string }): Promise<void> {
    await this.#request({ type: "tool_result", id: mint(), call, ...outcome });
  }

  async feedback(message: string, rating: Rating, comment?: string): Promise<void> {
    const said = comment ? { comment } : {};
    await this.#request({ type: "feedback", id: mint(), message, rating, ...said });
  }

  /** A page of messages; unless said otherwise, those before the oldest that is shown. */
  async history(page: { before?: string; limit?: number } = {}): Promise<HistoryFrame> {
    const before = this.messages.find(({ delivery }) => !delivery)?.id;
    const frame = { type: "history", id: mint(), conversation: this.#named() } as const;
    const reply = await this.#request({ ...frame, ...(before && { before }), ...page });
    return reply as HistoryFrame;
  }

  /** Tells the other devices that somebody types; as often as you like, it leaves every 3 s at most. */
  typing(): void {
    const now = this.#desk.now();
    if (this.#id === undefined || now - this.#typedAt < TYPING_MS) return;
    this.#typedAt = now;
    this.#desk.typing(this.#id);
  }

  /** Follows it again, after `close`. */
  open(): this {
    this.#closed = false;
    this.#desk.enter(this);
    this.#pending.open();
    this.changed();
    return this;
  }

  /** Follows it no longer than until all that was sent has been accepted or refused. */
  close(): void {
    this.#closed = true;
    this.changed();
  }

  /** @internal A frame changed the replica. */
  took(frame: ServerFrame): void {
    this.#shown = undefined;
    if (frame.type === "attached") this.#attached(frame.recovered);
    else if (frame.type === "complete") {
      this.#screen.ended(frame);
      this.#tell(frame.answer);
    } else if ("answer" in frame) {
      const growing = this.#replica?.answers.get(frame.answer);
      if (growing) this.#screen.touched(growing);
      this.#answers.get(frame.answer)?.took(frame.type === "reset");
    }
    this.#pending.tidy(this.#replica);
    this.#seekLeaf();
    this.changed();
  }

  /** @internal It cannot be followed. */
  lost(error: ParleyError): void {
    this.#error = error;
    this.#fail(error);
    this.changed();
  }

  /** @internal The client was shut out. */
  shutOut(error: ParleyError): void {
    this.#pending.shutOut(error);
    this.#fail(error);
  }

  /** @internal Nobody can follow it any more. */
  deleted(): void {
    this.#closed = true;
    this.lost(new ParleyError("not_found", "The conversation is deleted."));
  }

  /** @internal The server knows us by this name. */
  welcomed(user: string): void {
    this.#pending.welcomed(user);
  }

  /** @internal A frame has left, or waits for its turn again. */
  moved(delivery: Delivery, frame?: ClientFrame): void {
    this.#pending.moved(delivery, frame);
  }

  /** @internal */
  changed(): void {
    this.#shown = undefined;
    if (this.#closed) {
      this.#fail(new ParleyError("closed", "The conversation is closed."));
      if (!this.#pending.under) {
        this.#pending.close();
        this.#desk.leave(this);
      }
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.emit("change", undefined);
    });
  }

  get #replica(): Replica | undefined {
    return this.#id === undefined ? undefined : this.#desk.replica(this.#id);
  }

  #row(id: string): ChatMessage | undefined {
    return this.#screen.row(this.#replica, id);
  }

  /** Whoever waits for an answer of ours waits no more. */
  #fail(error: ParleyError): void {
    for (const answer of this.#answers.values()) answer.fail(error);
    this.#answers.clear();
  }

  /** @internal */
  accepted(answer: Answer, ack: AckFrame): void {
    this.#id ??= ack.conversation;
    this.#answers.set(ack.answer, answer);
    answer.accept(ack);
    // One that was taken long ago may have ended by now, and on a branch that is not shown.
    if (this.#row(ack.answer) || (ack.duplicate && this.#replica?.level)) this.#tell(ack.answer);
  }

  /** Brought level: what is held of our answers may be another text, or the whole of it by now. */
  #attached(recovered: boolean): void {
    this.#error = undefined;
    const replica = this.#replica;
    if (recovered || !replica) return;
    this.#screen.replaced(replica);
    for (const id of this.#answers.keys()) this.#tell(id);
  }

  /** Looks at one of our answers anew, which may have ended. */
  #tell(id: string): void {
    const answer = this.#answers.get(id);
    const row = this.#row(id);
    if (!answer) return;
    if (!row) void this.#fetch(id, answer);
    else if (row.outcome) this.#end(id, answer, row);
    else answer.took(true);
  }

  #end(id: string, answer: Answer, row: ChatMessage): void {
    this.#answers.delete(id);
    answer.end(row);
    this.#pending.ended(id);
  }

  /** It is on a branch that is not shown. Where it cannot be asked for now, the next snapshot asks again. */
  async #fetch(id: string, answer: Answer): Promise<void> {
    try {
      const said = await this.#desk.fetch(`conversations/${this.#id}/messages?leaf=${id}&limit=1`);
      const [row] = (said as { items: readonly ChatMessage[] }).items;
      if (row?.outcome && this.#answers.has(id)) this.#end(id, answer, row);
    } catch (error) {
      if ((error as ParleyError).retryable) return;
      this.#answers.delete(id);
      answer.fail(error as ParleyError);
    }
    this.changed();
  }

  /** Another branch was chosen that is not known here: a page of history is. */
  #seekLeaf(): void {
    const replica = this.#replica;
    if (!replica?.leaf || replica.messages.has(replica.leaf) || this.#sought === replica.leaf)
      return;
    this.#sought = replica.leaf;
    const frame = { type: "history", id: mint(), conversation: this.#named() } as const;
    this.#request(frame).catch(() => (this.#sought = null));
  }

  /** @internal */
  async halt(answer: Answer): Promise<void> {
    const asked = this.#pending.list.find((one) => one.answer === answer && !one.ack);
    if (asked) this.#pending.stop(asked);
    else if (answer.id !== undefined) await this.#request({ type: "stop", answer: answer.id });
  }

  #request(frame: RequestFrame): Promise<Settled> {
    return new Promise((resolve, reject) => {
      this.#desk.submit(frame, (reply) => {
        this.changed();
        if (reply instanceof ParleyError) reject(reply);
        else resolve(reply);
      });
    });
  }

  #named(): string {
    if (this.#id !== undefined) return this.#id;
    throw new ParleyError("not_found", "The conversation is empty.");
  }
}
