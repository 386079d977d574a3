import type { ChatMessage } from "../index.ts";
import type { Book } from "./book.ts";
import { arrange, focusedBeside, h, show } from "./dom.ts";
import * as drawings from "./drawings.ts";
import { iconButton } from "./icons.ts";
import { moves } from "./keys.ts";
import { follows, PAGE } from "./paging.ts";
import { here } from "./parts.ts";
import { row, type Shown } from "./plain.ts";
import type { Room } from "./room.ts";

/** So near the top, in px, older messages are fetched: before the reader gets there. */
const AHEAD = 900;

/** When the browser has nothing better to do; Safari cannot tell. */
const whenIdle: (task: () => void) => unknown =
  globalThis.requestIdleCallback ?? ((task) => setTimeout(task, 50));

/** What stands where a row stood that was read. */
type Successor = (read: Element) => { readonly element: Element } | undefined;

type FocusPlace = readonly [row: number, action: string | null];

/** The messages of a conversation: settled ones in pages, the last exchange, which may still grow, below them. */
export class Transcript {
  readonly element: HTMLElement;
  readonly #room: Room;
  readonly #log: HTMLElement;
  /** Comes with what messages can be; until then there are but the newest rows, and all of them are last ones. */
  #book: Book | undefined;
  readonly #last = h("div");
  readonly #asked: HTMLElement;
  readonly #older: HTMLButtonElement;
  readonly #latest: HTMLElement;
  readonly #resize = new ResizeObserver(() => this.#resized());
  readonly #rows = new Map<string, Shown>();
  #following = true;
  #top = 0;
  #width = 0;
  /** A step of the book is to come. */
  #awaited = false;
  /** Older messages were refused: now only the button asks for them. */
  #refused = false;

  constructor(room: Room, empty: HTMLElement) {
    const { t } = room.language;
    this.#room = room;
    this.#older = h(
      "button",
      { type: "button", class: "plain", hidden: true, on: { click: () => this.#loadOlder() } },
      t("more"),
    );
    this.#asked = h("div", { class: "dots", hidden: true }, t("thinking"));
    this.#latest = iconButton(drawings.latest, t("latest"), () => this.#jump(), {
      part: "latest",
      hidden: true,
    });
    this.#log = h("div", {
      part: "transcript",
      role: "log",
      "aria-live": "off",
      "aria-label": t("log"),
      tabindex: "0",
      on: { scroll: () => this.#scrolled(), keydown: (event) => this.#key(event) },
    });
    this.#log.append(this.#older, empty, this.#last, this.#asked);
    this.#bind();
    this.follow();
    this.element = h("div", { class: "middle" }, this.#log, this.#latest);
    this.#resize.observe(this.#log);
  }

  focus(): void {
    this.#log.focus();
  }

  /**
   * The end from now on, wherever the reader was; or not. Whoever follows it is held there by us, others in their place
   * by the browser: at the end it would look for an anchor in each frame.
   */
  follow(following = true): void {
    this.#following = following;
    this.#top = 0; // no move of before lets go again
    this.#log.style.setProperty("overflow-anchor", following ? "none" : "auto");
  }

  row(id: string): Shown | undefined {
    return this.#rows.get(id);
  }

  /** Messages can be all that they are now: they are built anew. */
  format(): void {
    if (this.#book) return; // It was begun when they could be already.
    const before = [...this.#rows];
    this.#rows.clear();
    this.#bind();
    this.render((read) =>
      this.#rows.get(before.find(([, { element }]) => element === read)?.[0] ?? ""),
    );
  }

  /** Taken out of the page and put back, a box stands at its beginning, and nobody is told. */
  restore(): void {
    this.#log.scrollTop = this.#top;
  }

  #bind(): void {
    const { Book } = here("answers") ?? {};
    if (!Book) return;
    this.#book = new Book(this.#log, (message) => this.#rowOf(message));
    this.#last.before(this.#book.element);
  }

  dispose(): void {
    this.#resize.disconnect();
    this.#book?.dispose();
  }

  /** Shows the conversation as it is; `now` stands for rows that are no more. */
  render(now?: Successor): void {
    const focused = this.#focusPlace();
    this.#held(() => this.#fill(), now);
    this.#refocus(focused);
    this.#proceed();
  }

  #fill(): void {
    const { messages, more, status } = this.#room.conversation;
    const tail = this.#book ? lastExchange(messages) : 0;
    this.#book?.settle(messages.slice(0, tail));
    const last = messages.slice(tail).map((message) => this.#rowOf(message));
    for (const row of last) row.near();
    arrange(
      this.#last,
      last.map(({ element }) => element),
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
  }

  /** Whatever is done to the rows: the end stays the end, and what is read, or `now` stands for it, stays where it is. */
  #held(change: () => void, now: Successor = (element) => ({ element })): void {
    // Of a move by a key or a script the browser tells only before the next frame. Less than a pixel is its rounding.
    if (this.#following) this.follow(follows(true, this.#log, this.#top - 1));
    if (this.#following) {
      change();
      this.#toEnd();
      return;
    }
    const { top } = this.#log.getBoundingClientRect();
    const read =
      this.#book?.rowAt(top) ??
      [...this.#last.children].find((row) => row.getBoundingClientRect().bottom > top);
    const stood = read?.getBoundingClientRect().top ?? 0;
    change();
    const { element } = (read && now(read)) ?? {};
    if (!element?.isConnected) return;
    const moved = element.getBoundingClientRect().top - stood;
    // The browser may have seen to it already.
    if (moved) this.#log.scrollTop += moved;
    this.#top = this.#log.scrollTop;
  }

  /** Older rows and stale heights wait for idle moments. */
  #proceed(): void {
    if (this.#awaited || !this.#book?.unfinished) return;
    this.#awaited = true;
    whenIdle(() => {
      this.#awaited = false;
      if (!this.#log.clientWidth) return; // closed: `#resized` goes on
      this.#held(() => this.#book?.step());
      this.#proceed();
    });
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
    if (this.#rows.size === messages.length - (this.#book?.left ?? 0)) return;
    const present = new Set(messages.map(({ id }) => id));
    for (const id of this.#rows.keys()) if (!present.has(id)) this.#rows.delete(id);
  }

  #toEnd(): void {
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#top = this.#log.scrollTop;
    show(this.#latest, false);
  }

  #jump(): void {
    this.follow();
    this.#toEnd();
    this.focus();
  }

  #scrolled(): void {
    this.follow(follows(this.#following, this.#log, this.#top));
    this.#top = this.#log.scrollTop;
    show(this.#latest, !this.#following);
    if (this.#top >= AHEAD) return;
    if (this.#book?.left) this.#held(() => this.#book?.extend(PAGE));
    else if (!this.#refused) this.#loadOlder();
  }

  #loadOlder(): void {
    const { conversation, run } = this.#room;
    if (this.#older.disabled || !conversation.more) return;
    const over = (refused: boolean): void => {
      this.#older.disabled = false;
      this.#refused = refused;
    };
    this.#older.disabled = true;
    run(
      conversation.history({ limit: PAGE }),
      () => over(false),
      () => over(true),
    );
  }

  #resized(): void {
    const { clientWidth } = this.#log;
    if (clientWidth) {
      if (this.#width && clientWidth !== this.#width) this.#book?.widened();
      this.#book?.sleep();
      this.#width = clientWidth;
      this.#proceed();
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
    for (const one of this.#rows.values()) if (one.element === row) one.near();
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
