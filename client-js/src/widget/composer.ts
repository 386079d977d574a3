import { focusedBeside, h, show } from "./dom.ts";
import * as drawings from "./drawings.ts";
import { icon, iconButton } from "./icons.ts";
import { sends } from "./keys.ts";
import type { Translate } from "./strings.ts";

/** What the composer tells. */
export interface ComposerEvents {
  /** Whether the text was taken; if not, it stays in the field. */
  send(text: string): boolean;
  stop(): void;
  changed(): void;
  /** The editing of an earlier message was given up. */
  cancelled(): void;
}

/** Where messages are written. It works whatever the connection does. */
export class Composer {
  readonly element: HTMLFormElement;
  readonly #events: ComposerEvents;
  readonly #field: HTMLTextAreaElement;
  readonly #editing: HTMLElement;
  readonly #send: HTMLButtonElement;
  readonly #stop: HTMLButtonElement;
  #busy = false;

  constructor(t: Translate, placeholder: string, events: ComposerEvents) {
    this.#events = events;
    this.#field = h("textarea", {
      part: "input",
      rows: "1",
      "aria-label": placeholder,
      placeholder,
      enterkeyhint: "send",
      on: { input: () => this.#typed(), keydown: (event) => this.#key(event) },
    });
    this.#send = h(
      "button",
      { part: "send", "aria-label": t("send"), title: t("send") },
      icon(drawings.send),
    );
    this.#stop = iconButton(drawings.stop, t("stop"), () => events.stop(), { part: "stop" });
    this.#editing = h(
      "div",
      { part: "editing", hidden: true },
      h("span", {}, t("editing")),
      iconButton(drawings.close, t("close"), () => events.cancelled()),
    );
    this.element = h(
      "form",
      { part: "composer", on: { submit: (event) => this.#submit(event) } },
      this.#editing,
      h("div", { class: "field" }, this.#field, this.#stop, this.#send),
    );
    this.#fit();
  }

  get text(): string {
    return this.#field.value;
  }

  set text(text: string) {
    this.#field.value = text;
    this.#fit();
  }

  /** Whether the text replaces an earlier message. */
  set editing(editing: boolean) {
    show(this.#editing, editing);
  }

  set busy(busy: boolean) {
    if (busy === this.#busy) return;
    this.#busy = busy;
    const stopped = !busy && focusedBeside(this.element) === this.#stop;
    this.#fit();
    if (stopped) this.focus();
  }

  focus(): void {
    this.#field.focus();
  }

  #typed(): void {
    this.#fit();
    this.#events.changed();
  }

  #key(event: KeyboardEvent): void {
    if (!sends(event)) return;
    event.preventDefault();
    this.element.requestSubmit();
  }

  #submit(event: Event): void {
    event.preventDefault();
    if (!this.text.trim() || !this.#events.send(this.text)) return;
    this.text = "";
    // Its button may go to make room for the other one.
    if (focusedBeside(this.element) === this.#send) this.focus();
  }

  /** As tall as its text, up to what the style sheet allows; one button, or both while an answer runs. */
  #fit(): void {
    const empty = !this.text.trim();
    show(this.#stop, this.#busy);
    show(this.#send, !this.#busy || !empty);
    this.#send.classList.toggle("idle", empty);
    // What is written has its own direction, what is asked for the panel's.
    this.#field.dir = empty ? "" : "auto";
    if (CSS.supports("field-sizing", "content")) return;
    const { style } = this.#field;
    style.setProperty("block-size", "auto");
    style.setProperty("block-size", `${this.#field.scrollHeight}px`);
  }
}
