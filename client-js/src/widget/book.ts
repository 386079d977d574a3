import type { ChatMessage } from "../index.ts";
import { h } from "./dom.ts";
import { Page } from "./page.ts";
import { difference, PAGE } from "./paging.ts";
import type { Shown } from "./plain.ts";

/** How far outside of what is seen, in px, a page counts as near. */
const NEARNESS = "200px 0px";

/** The settled messages. The newest are there at once; older ones, and their heights in another width, come step by step. */
export class Book {
  readonly element = h("div");
  readonly #rowOf: (message: ChatMessage) => Shown;
  readonly #near: IntersectionObserver;
  #pages: Page[] = [];
  #messages: readonly ChatMessage[] = [];
  /** From which message on there are rows, and whose. */
  #from = 0;
  #order: readonly string[] = [];
  /** Pages that were measured in another width. */
  #stale: Page[] = [];
  #measuring: Page | undefined;

  constructor(log: Element, rowOf: (message: ChatMessage) => Shown) {
    this.#rowOf = rowOf;
    this.#near = new IntersectionObserver((seen) => this.#seen(seen), {
      root: log,
      rootMargin: NEARNESS,
    });
  }

  /** How many of the oldest messages have no rows yet. */
  get left(): number {
    return this.#from;
  }

  /** Whether a step would do something. */
  get unfinished(): boolean {
    return this.#from > 0 || this.#stale.length > 0 || this.#measuring !== undefined;
  }

  dispose(): void {
    this.#near.disconnect();
  }

  settle(messages: readonly ChatMessage[]): void {
    // Thousands of rows, and a frame has 16 ms: most often none of them is another.
    if (
      messages.length === this.#messages.length &&
      messages.every((one, place) => one === this.#messages[place])
    )
      return;
    this.#messages = messages;
    const ids = messages.map(({ id }) => id);
    const { before, same } = difference(this.#order, ids);
    this.#from = same ? before : Math.max(0, messages.length - PAGE);
    if (same < this.#order.length) this.#cut(same);
    this.#order = ids.slice(this.#from);
    for (const message of messages.slice(this.#from, this.#from + same)) this.#rowOf(message);
    for (const message of messages.slice(this.#from + same)) this.#append(message);
    this.sleep();
  }

  /** Makes the rows of so many more of the older messages. */
  extend(count: number): void {
    const to = this.#from;
    this.#from = Math.max(0, to - count);
    const older = this.#messages.slice(this.#from, to);
    for (const message of [...older].reverse()) this.#prepend(message);
    this.#order = [...older.map(({ id }) => id), ...this.#order];
    this.sleep();
  }

  /** Does a little of what is left. */
  step(): void {
    this.#measuring = undefined;
    this.sleep();
    if (this.#from > 0) this.extend(PAGE);
    // A browser remembers the height that a page had when it was last seen; laid out for a frame, it gets another.
    else (this.#measuring = this.#stale.pop())?.wake();
  }

  /** Another width makes every height stale. */
  widened(): void {
    this.#stale = [...this.#pages];
  }

  sleep(): void {
    Page.sleep(this.#pages.filter((page) => page !== this.#measuring));
  }

  /** The first row that reaches below `y`: what is read, if that is the top of what is seen. */
  rowAt(y: number): Element | undefined {
    const reaches = ({ element }: Page | Shown): boolean =>
      element.getBoundingClientRect().bottom > y;
    return this.#pages.find(reaches)?.rows.find(reaches)?.element;
  }

  #cut(rows: number): void {
    let left = rows;
    this.#pages = this.#pages.filter((page) => {
      const stays = left > 0;
      const { length } = page.rows;
      if (left < length) page.cut(Math.max(left, 0));
      if (!stays) {
        this.#near.unobserve(page.element);
        page.element.remove();
      }
      left -= length;
      return stays;
    });
  }

  #append(message: ChatMessage): void {
    let page = this.#pages.at(-1);
    if (!page || page.full) {
      page = this.#begun();
      this.#pages.push(page);
      this.element.append(page.element);
    }
    page.append(this.#rowOf(message));
  }

  #prepend(message: ChatMessage): void {
    let page = this.#pages[0];
    if (!page || page.full) {
      page = this.#begun();
      this.#pages.unshift(page);
      this.element.prepend(page.element);
    }
    page.prepend(this.#rowOf(message));
  }

  #begun(): Page {
    const page = new Page();
    this.#near.observe(page.element);
    return page;
  }

  #seen(seen: readonly IntersectionObserverEntry[]): void {
    for (const { isIntersecting, target } of seen) {
      if (isIntersecting) this.#pages.find(({ element }) => element === target)?.near();
    }
  }
}
