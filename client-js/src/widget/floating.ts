import { focusedBeside, h, show } from "./dom.ts";
import * as drawings from "./drawings.ts";
import { iconButton } from "./icons.ts";
import type { Site } from "./site.ts";
import type { Translate } from "./strings.ts";

/** Narrower than this the floating panel is the whole screen, and nothing else on it can be reached. */
const PHONE = "(max-width: 480px)";

/** What is wished of a chat that floats. */
export interface FloatingEvents {
  open(): void;
  close(): void;
  /** Whether there was something over the talk to go back from. */
  back(): boolean;
}

/** A chat that floats over the page: its frame, and the launcher that opens it. */
export class Floating {
  readonly element: HTMLElement;
  readonly frame: HTMLDialogElement;
  readonly launcher: HTMLElement;
  readonly #t: Translate;
  readonly #phone = matchMedia(PHONE);

  constructor({ name, language: { t, direction } }: Site, events: FloatingEvents) {
    this.#t = t;
    this.launcher = iconButton(drawings.chat, t("open"), () => events.open(), {
      part: "launcher",
      class: "",
      "aria-haspopup": "dialog",
    });
    // The way back of a phone.
    const cancel = (event: Event): void => {
      event.preventDefault();
      if (!events.back()) events.close();
    };
    // Pressed twice a browser closes it without asking.
    const close = (): void => {
      if (!this.frame.open) events.close();
    };
    this.frame = h("dialog", { part: "frame", "aria-label": name, on: { cancel, close } });
    this.element = h("section", { dir: direction, "aria-label": name }, this.launcher, this.frame);
    this.#phone.addEventListener("change", this.#refit);
  }

  dispose(): void {
    this.#phone.removeEventListener("change", this.#refit);
  }

  open(): void {
    show(this.launcher, false);
    if (this.#phone.matches) this.frame.showModal();
    else this.frame.open = true; // `show` would take the focus from wherever it is in the page
  }

  close(): void {
    // Focus that was elsewhere in the page stays there.
    const focused = focusedBeside(this.element);
    show(this.launcher, true);
    this.frame.close();
    if (focused) this.launcher.focus();
  }

  /** Whether something came while the chat was closed. */
  news(is: boolean): void {
    this.launcher.classList.toggle("news", is);
    this.launcher.setAttribute("aria-label", this.#t("open") + (is ? `, ${this.#t("news")}` : ""));
  }

  readonly #refit = (): void => {
    if (!this.frame.open) return;
    const focused = focusedBeside(this.element) as HTMLElement | null;
    this.frame.close();
    this.open();
    focused?.focus();
  };
}
