import type { ChatMessage } from "../index.ts";
import { h } from "./dom.ts";

/** Newer than the compiler's library. */
type Notifier = Element & {
  ariaNotify?(text: string, options: { priority: "high" | "normal" }): void;
};

/** How long a spoken text stays in the region: read by then, and not met again by who walks through the page. */
const CLEARED_MS = 2000;

/** Tells screen readers what happened, politely: the transcript itself is silent, or every token would be read. */
export class Announcer {
  readonly element = h("div", { class: "unseen" });
  readonly #regions = [h("div", { role: "status" }), h("div", { role: "alert" })] as const;
  #clearing: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    this.element.append(...this.#regions);
  }

  say(text: string, urgent = false): void {
    const notifier: Notifier = this.element;
    if (notifier.ariaNotify) {
      notifier.ariaNotify(text, { priority: urgent ? "high" : "normal" });
      return;
    }
    this.#regions[urgent ? 1 : 0].textContent = text;
    clearTimeout(this.#clearing);
    this.#clearing = setTimeout(() => {
      for (const region of this.#regions) region.textContent = "";
    }, CLEARED_MS);
  }
}

/** What is told of an answer. */
export type News = "begins" | "asks" | "finished" | "stopped" | "failed";

/** Decides what is told of answers: that one begins, that it asks, how it ended; each once, whatever its length. */
export class AnswerNews {
  readonly #told = new Map<string, "begins" | "asks">();

  /** `fresh`: it came just now. Of an older answer that had ended before it was seen there is nothing to tell. */
  of(
    message: Pick<ChatMessage, "id" | "role" | "state" | "outcome">,
    fresh: boolean,
  ): News | undefined {
    if (message.role !== "assistant") return undefined;
    const told = this.#told.get(message.id);
    if (message.state === undefined) {
      if ((told === undefined && !fresh) || message.outcome === undefined) return undefined;
      this.#told.delete(message.id);
      if (message.outcome === "complete") return "finished";
      return message.outcome === "stopped" ? "stopped" : "failed";
    }
    if (told === undefined) {
      this.#told.set(message.id, "begins");
      return "begins";
    }
    if (message.state === "parked" && told === "begins") {
      this.#told.set(message.id, "asks");
      return "asks";
    }
    return undefined;
  }
}
