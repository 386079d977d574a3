import { byFinger, h, show } from "./dom.ts";
import * as drawings from "./drawings.ts";
import { iconButton } from "./icons.ts";

/** What lies over the talk for a while: the list of conversations, a source. One at a time. */
export class Sheet {
  readonly element = h("div", { class: "cover", hidden: true });
  readonly #behind: () => readonly HTMLElement[];
  readonly #close: string;
  readonly #leave: () => void;
  #opener: HTMLElement | undefined;

  /** `behind` cannot be reached while it is open; `leave` is where focus goes if what opened it is gone. */
  constructor(close: string, behind: () => readonly HTMLElement[], leave: () => void) {
    this.#close = close;
    this.#leave = leave;
    this.#behind = behind;
    this.element.addEventListener("click", ({ target }) => target === this.element && this.close());
  }

  get isOpen(): boolean {
    return !this.element.hidden;
  }

  open(title: string, content: HTMLElement, opener: Element | null, whole = false): void {
    this.#opener = opener instanceof HTMLElement ? opener : undefined;
    const close = iconButton(drawings.close, this.#close, () => this.close());
    const sheet = h(
      "div",
      { part: "sheet", role: "dialog", "aria-label": title },
      h("div", { class: "top" }, h("h2", { dir: "auto" }, title), close),
      content,
    );
    sheet.classList.toggle("whole", whole);
    this.element.replaceChildren(sheet);
    this.#reveal(true);
    // Where a finger opened it no keyboard shall come up.
    const field = byFinger() ? null : content.querySelector<HTMLElement>("input");
    (field ?? close).focus();
  }

  /** Whether there was anything to close. Focus goes back to what opened it. */
  close(): boolean {
    if (!this.isOpen) return false;
    this.#reveal(false);
    this.element.replaceChildren();
    if (this.#opener?.isConnected) this.#opener.focus();
    else this.#leave();
    return true;
  }

  #reveal(open: boolean): void {
    show(this.element, open);
    for (const one of this.#behind()) one.inert = open;
  }
}
