import { h } from "./dom.ts";
import type { Shown } from "./plain.ts";

/** Up to 50 settled rows in one box, which the browser leaves out of its work while it is out of sight. */
export class Page {
  readonly element = h("div", { class: "page" });
  readonly rows: Shown[] = [];

  add(row: Shown): void {
    this.rows.push(row);
    this.element.append(row.element);
  }

  /** Drops the rows from `place` on. */
  cut(place: number): void {
    for (const row of this.rows.splice(place)) row.element.remove();
    this.wake();
  }

  /** Laid out always, as while it is at the end and grows. */
  wake(): void {
    this.element.classList.remove("asleep");
  }

  get #asleep(): boolean {
    return this.element.classList.contains("asleep");
  }

  /** These may be left out, under their true heights: guessed ones would make the scroll jump by the difference. */
  static sleep(pages: readonly Page[]): void {
    const awake = pages.filter((page) => !page.#asleep);
    // All are measured before the first one changes, or each would cost a layout of its own.
    const heights = awake.map(({ element }) => element.offsetHeight);
    for (const [place, { element }] of awake.entries()) {
      element.style.setProperty("contain-intrinsic-size", `auto ${heights[place]}px`);
      element.classList.add("asleep");
    }
  }

  /** Those that sleep are measured again. */
  static measure(pages: readonly Page[]): void {
    const asleep = pages.filter((page) => page.#asleep);
    for (const page of asleep) page.wake();
    Page.sleep(asleep);
  }
}
