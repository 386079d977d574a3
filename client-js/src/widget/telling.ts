import { type ChatMessage, type Conversation, ParleyError } from "../index.ts";
import { Announcer, AnswerNews } from "./announcer.ts";
import { Notice } from "./connection.ts";
import { explain } from "./explain.ts";
import type { Room } from "./room.ts";
import type { Site } from "./site.ts";

/** What the panel tells the element around it. */
export interface Outside {
  /** Whether the page lets a text be sent. */
  allows(content: string): boolean;
  told(message: Partial<ChatMessage>): void;
  failed(error: unknown): void;
  /** Of a panel that can be closed. */
  readonly close: (() => void) | undefined;
}

/** What is told beside the talk: to the ear, in a notice, and to the page. */
export class Telling {
  readonly announcer = new Announcer();
  readonly notice: Notice;
  readonly #site: Site;
  readonly #outside: Outside;
  readonly #news = new AnswerNews();
  #newest: string | undefined;
  #awaited = false;

  /** `leave` is where focus goes when a notice is put away. */
  constructor(site: Site, outside: Outside, leave: () => void) {
    this.#site = site;
    this.#outside = outside;
    this.notice = new Notice(site.language.t, leave);
  }

  /** Another conversation is shown, and nothing in it is news yet. */
  begin(): void {
    this.#newest = undefined;
    this.#awaited = false;
  }

  /** A short answer begins and ends between two frames: whether one was awaited is seen at every change. */
  changed({ status }: Conversation): void {
    this.#awaited ||= status === "submitted" || status === "streaming";
  }

  /** Tells how answers stand; `plainText` is that of a message as it is shown. */
  answers({ messages, level }: Conversation, plainText: (id: string) => string | undefined): void {
    const { t } = this.#site.language;
    const newest = messages.at(-1)?.id ?? "";
    // One that nobody waited for is another version.
    const fresh = this.#awaited && this.#newest !== undefined && newest !== this.#newest;
    if (level) this.#newest = newest;
    this.#awaited = false;
    for (const message of messages) {
      const news = this.#news.of(message, fresh && message.id === newest);
      if (!news) continue;
      const text = {
        begins: () => t("begins", { name: this.#site.name }),
        asks: () => t("parked"),
        finished: () => plainText(message.id) ?? "",
        stopped: () => t("stopped"),
        failed: () => t(message.outcome === "interrupted" ? "interrupted" : "broken"),
      }[news]();
      this.announcer.say(text);
      if (news !== "begins" && news !== "asks") this.#outside.told(message);
    }
  }

  /** A word for the eye and the ear. */
  word(text: string): void {
    this.notice.show(text);
    this.announcer.say(text);
  }

  failed(error: unknown): void {
    const { t } = this.#site.language;
    const text = (error instanceof ParleyError && explain(error.code, t)) || t("error");
    if (this.refused(error, text)) this.notice.show(text);
  }

  /** Tells of a refusal; what its own author took back was none. */
  refused(error: unknown, text: string): boolean {
    if (error instanceof ParleyError && error.code === "withdrawn") return false;
    this.announcer.say(text, true);
    this.#outside.failed(error);
    return true;
  }

  /** Waits for what was asked, then goes on; a refusal is told. */
  readonly run: Room["run"] = (asked, then, refused) => {
    asked.then(then, (error) => {
      this.failed(error);
      refused?.();
    });
  };
}
