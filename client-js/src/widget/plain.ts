import type { ChatMessage } from "../index.ts";
import { h } from "./dom.ts";
import { here, type Part } from "./parts.ts";
import type { Room } from "./room.ts";

/** What the transcript needs of a message on the screen. */
export type Shown = Pick<
  InstanceType<Part<"answers">["Row"]>,
  "element" | "plainText" | "update" | "near"
>;

/** A message on the screen: all that it can be, or for as long as that has not come yet its bare text. */
export function row(message: ChatMessage, room: Room): Shown {
  const { Row } = here("answers") ?? {};
  return Row ? new Row(message, room) : new PlainRow(message, room);
}

class PlainRow implements Shown {
  readonly element: HTMLElement;
  readonly #text = h("div", { part: "text", class: "raw", dir: "auto" });

  constructor(message: ChatMessage, { language, name }: Room) {
    const mine = message.role === "user";
    this.element = h(
      "article",
      {
        part: `message ${mine ? "user" : "assistant"}`,
        tabindex: "-1",
        "aria-label": mine ? language.t("youSaid") : language.t("said", { name }),
      },
      this.#text,
    );
    this.update(message);
  }

  get plainText(): string {
    return this.#text.textContent?.trim() ?? "";
  }

  update({ content }: ChatMessage): void {
    if (this.#text.textContent !== content) this.#text.textContent = content;
  }

  near(): void {}
}
