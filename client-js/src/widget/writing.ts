import type { ChatMessage, Conversation } from "../index.ts";
import { Composer } from "./composer.ts";
import { focusedBeside } from "./dom.ts";
import type { Memory } from "./memory.ts";
import type { Site } from "./site.ts";

/** What becomes of what is written. */
export interface WritingEvents {
  /** Sends a text, as a message or in the place of an earlier one; false where the page prevents it. */
  send(text: string, replaced: string | undefined): boolean;
  stop(): void;
}

/** What is being written in the conversation shown: a message, kept as its draft, or another text of an earlier one. */
export class Writing {
  readonly composer: Composer;
  readonly #memory: Memory;
  #conversation!: Conversation;
  #editing: string | undefined;

  constructor({ language, placeholder }: Site, memory: Memory, { send, stop }: WritingEvents) {
    this.#memory = memory;
    this.composer = new Composer(language.t, placeholder, {
      send: (text) => {
        const edited = this.#editing;
        if (!send(text, edited)) return false;
        this.cancel();
        // An edited message leaves the field for the draft that was there before; that one stays.
        if (edited === undefined) this.#memory.set(this.#draft, undefined);
        return edited === undefined;
      },
      stop,
      changed: () => this.#keep(),
      cancelled: () => this.cancel(),
    });
  }

  begin(conversation: Conversation): void {
    this.#conversation = conversation;
    this.cancel();
    this.#resume();
  }

  /** The conversation has its name now: what was begun before goes with it. */
  named(): void {
    this.#memory.set("draft ", undefined);
    this.#keep();
  }

  edit(id: string, content: string): void {
    this.#editing = id;
    this.composer.editing = true;
    this.composer.text = content;
    this.composer.focus();
  }

  /** Gives up editing, if there is any. */
  cancel(): boolean {
    if (this.#editing === undefined) return false;
    const focused = focusedBeside(this.composer.element);
    this.#editing = undefined;
    this.composer.editing = false;
    this.#resume();
    if (focused) this.composer.focus();
    return true;
  }

  /** Puts what was taken back where it was written: an edit stays one. */
  restore({ content, replaces }: ChatMessage): void {
    if (replaces) {
      this.edit(replaces, content);
      return;
    }
    this.cancel();
    this.composer.text = [this.composer.text, content].filter(Boolean).join("\n\n");
    this.#keep();
  }

  get #draft(): string {
    return `draft ${this.#conversation.id ?? ""}`;
  }

  #resume(): void {
    this.composer.text = this.#memory.get(this.#draft) ?? "";
  }

  #keep(): void {
    if (this.#editing === undefined) this.#memory.set(this.#draft, this.composer.text);
  }
}
