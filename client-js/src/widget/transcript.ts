import type { ChatMessage } from "../index.ts";
import { arrange, focusedBeside, h, show } from "./dom.ts";
import * as drawings from "./drawings.ts";
import { icon } from "./icons.ts";
import { moves } from "./keys.ts";
import { Page } from "./page.ts";
import { difference, follows, PAGE, pagesBefore } from "./paging.ts";
import { row, type Shown } from "./plain.ts";
import type { Room } from "./room.ts";

/** So near the top, in px, older messages are fetched: before the reader gets there. */
const AHEAD = 900;

/** Leaving pages out needs a browser that then holds what is read in its place. */
const MAY_SLEEP =
  globalThis.CSS?.supports("overflow-anchor", "auto") && CSS.supports("content-visibility", "auto");

type FocusPlace = readonly [row: number, action: string | null];

/** The messages of a conversation: settled ones in pages, the last exchange, which may still grow, below them. */
export class Transcript {
  readonly element: HTMLElement;
  readonly #room: Room;
  readonly #log: HTMLElement;
  readonly #pages = h("div");
  readonly #last = h("div");
  readonly #asked: HTMLElement;
  readonly #older: HTMLButtonElement;
  readonly #latest: HTMLElement;
  readonly #resize = new ResizeObserver(() => this.#resized());
  #book: Page[] = [];
  #rows = new Map<string, Shown>();
  #order: readonly string[] = [];
  #settled: readonly ChatMessage[] = [];
  #following = true;
  #top = 0;
  #width = 0;

  constructor(room: Room, empty: HTMLElement) {
    const { t } = room.language;
    this.#room = room;
    this.#older = h(
      "button",
      { type: "button", class: "plain", hidden: true, on: { click: () => this.#loadOlder() } },
      t("more"),
    );
    this.#asked = h("div", { class: "dots", hidden: true }, t("thinking"));
    this.#latest = h(
      "button",
      {
        type: "button",
        part: "latest",
        "aria-label": t("latest"),
        title: t("latest"),
        hidden: true,
        on: { click: () => this.#jump() },
      },
      icon(drawings.latest),
    );
    this.#log = h(
      "div",
      {
        part: "transcript",
        role: "log",
        "aria-live": "off",
        "aria-label": t("log"),
        tabindex: "0",
        on: { scroll: () => this.#scrolled(), keydown: (event) => this.#key(event) },
      },
      ...[this.#older, empty, this.#pages, this.#last, this.#asked],
    );
    this.element = h("div", { class: "middle" }, this.#log, this.#latest);
    this.#resize.observe(this.#log);
  }

  focus(): void {
    this.#log.focus();
  }

  /** The end again, wherever the reader was: after their own message. */
  follow(): void {
    this.#following = true;
  }

  row(id: string): Shown | undefined {
    return this.#rows.get(id);
  }

  /** Messages can be all that they are now: they are built anew, and what is read stays where it is. */
  format(): void {
    const { top } = this.#log.getBoundingClientRect();
    const at = this.#articles().findIndex((one) => one.getBoundingClientRect().bottom > top);
    const place = (): number => this.#articles()[at]?.getBoundingClientRect().top ?? 0;
    const stood = place();
    this.#cut(0);
    this.#order = this.#settled = [];
    this.#rows.clear();
    this.render();
    if (!this.#following) this.#hold(place() - stood);
  }

  dispose(): void {
    this.#resize.disconnect();
    for (const shown of this.#rows.values()) shown.dispose();
  }

  render(): void {
    const { messages, more, status } = this.#room.conversation;
    const focused = this.#focusPlace();
    const tail = lastExchange(messages);
    const anchor = this.#book[0]?.element ?? this.#last;
    const stood = this.#following ? 0 : anchor.getBoundingClientRect().top;
    this.#settle(messages.slice(0, tail));
    arrange(
      this.#last,
      messages.slice(tail).map((message) => this.#rowOf(message).element),
    );
    this.#forget(messages);
    show(this.#older, more);
    const newest = messages.at(-1);
    show(
      this.#asked,
      status === "submitted" && newest?.role === "user" && newest.delivery !== "unsent",
    );
    const busy = `${status === "streaming" || status === "submitted"}`;
    if (this.#log.ariaBusy !== busy) this.#log.ariaBusy = busy;
    if (this.#following) this.#toEnd();
    else this.#hold(anchor.getBoundingClientRect().top - stood);
    this.#refocus(focused);
  }

  #rowOf(message: ChatMessage): Shown {
    let shown = this.#rows.get(message.id);
    if (shown) shown.update(message);
    else {
      shown = row(message, this.#room);
      this.#rows.set(message.id, shown);
    }
    return shown;
  }

  #forget(messages: readonly ChatMessage[]): void {
    if (this.#rows.size === messages.length) return;
    const present = new Set(messages.map(({ id }) => id));
    for (const [id, shown] of this.#rows) {
      if (present.has(id)) continue;
      shown.dispose();
      this.#rows.delete(id);
    }
  }

  #settle(messages: readonly ChatMessage[]): void {
    // Thousands of rows, and a frame has 16 ms: most often none of them is another.
    if (
      messages.length === this.#settled.length &&
      messages.every((one, place) => one === this.#settled[place])
    )
      return;
    this.#settled = messages;
    const wanted = messages.map(({ id }) => id);
    const { before, same } = difference(this.#order, wanted);
    if (same < this.#order.length) this.#cut(same);
    this.#order = wanted;
    for (const message of messages.slice(before, before + same)) this.#rowOf(message);
    this.#prepend(messages.slice(0, before));
    for (const message of messages.slice(before + same)) this.#append(message);
    if (!MAY_SLEEP) return;
    const newest = this.#book.at(-1);
    Page.sleep(this.#book.filter((page) => page !== newest || page.rows.length === PAGE));
  }

  #cut(rows: number): void {
    let left = rows;
    const kept = this.#book.filter((page) => {
      const stays = left > 0;
      if (left < page.rows.length) page.cut(Math.max(left, 0));
      if (!stays) page.element.remove();
      left -= page.rows.length;
      return stays;
    });
    this.#book = kept;
  }

  #prepend(messages: readonly ChatMessage[]): void {
    let start = 0;
    const pages = pagesBefore(messages.length).map((size) => {
      const page = new Page();
      for (const message of messages.slice(start, start + size)) page.add(this.#rowOf(message));
      start += size;
      return page;
    });
    this.#pages.prepend(...pages.map(({ element }) => element));
    this.#book.unshift(...pages);
  }

  #append(message: ChatMessage): void {
    let page = this.#book.at(-1);
    if (!page || page.rows.length === PAGE) {
      page = new Page();
      this.#book.push(page);
      this.#pages.append(page.element);
    }
    page.add(this.#rowOf(message));
  }

  #toEnd(): void {
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#top = this.#log.scrollTop;
    show(this.#latest, false);
  }

  /** What is read stays where it is; the browser may have seen to it already. */
  #hold(moved: number): void {
    if (moved) this.#log.scrollTop += moved;
  }

  #jump(): void {
    this.follow();
    this.#toEnd();
    this.focus();
  }

  #scrolled(): void {
    this.#following = follows(this.#following, this.#log, this.#top);
    this.#top = this.#log.scrollTop;
    show(this.#latest, !this.#following);
    if (this.#top < AHEAD) this.#loadOlder();
  }

  #loadOlder(): void {
    const { conversation, run } = this.#room;
    if (this.#older.disabled || !conversation.more) return;
    const over = (): void => {
      this.#older.disabled = false;
    };
    this.#older.disabled = true;
    run(conversation.history({ limit: PAGE }), over, over);
  }

  /** Another width makes every height stale: they are measured anew. */
  #resized(): void {
    const { clientWidth } = this.#log;
    if (clientWidth !== this.#width && clientWidth > 0) {
      this.#width = clientWidth;
      Page.measure(this.#book);
    }
    if (this.#following) this.#toEnd();
  }

  #articles(): readonly HTMLElement[] {
    return [...this.#log.querySelectorAll("article")];
  }

  #key(event: KeyboardEvent): void {
    const { target } = event;
    // In what scrolls or is written in these keys have a meaning of their own.
    if ((target as Element).closest("input,pre")) return;
    const articles = this.#articles();
    const at = articles.findIndex((article) => article.contains(target as Node));
    const next = moves(event, at, articles.length);
    if (next === undefined) return;
    event.preventDefault();
    articles[next]?.focus({ preventScroll: true });
    articles[next]?.scrollIntoView({ block: "nearest" });
  }

  /** Where focus is: which row, and which of its buttons. */
  #focusPlace(): FocusPlace | undefined {
    const active = focusedBeside(this.#log);
    if (!active || !this.#log.contains(active) || active === this.#log) return undefined;
    const articles = this.#articles();
    const at = articles.findIndex((article) => article.contains(active));
    return at < 0 ? undefined : [at, active.getAttribute("data-do")];
  }

  /** Focus stays at its place in the conversation when what had it is gone, as at a change of version. */
  #refocus(place: FocusPlace | undefined): void {
    if (!place || focusedBeside(this.#log)) return;
    const [at, action] = place;
    const row = this.#articles()[at];
    const same = action === null ? null : row?.querySelector<HTMLElement>(`[data-do="${action}"]`);
    (same ?? row ?? this.#log).focus({ preventScroll: true });
  }
}

/** Where the last exchange begins: with the last message that a person wrote, or earlier at the first that still changes. */
function lastExchange(messages: readonly ChatMessage[]): number {
  let asked = 0;
  let changing = messages.length;
  messages.forEach(({ role, state, delivery }, place) => {
    if (role === "user") asked = place;
    if ((state !== undefined || delivery !== undefined) && place < changing) changing = place;
  });
  return Math.min(asked, changing);
}
