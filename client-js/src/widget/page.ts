import { h } from "./dom.ts";
import { PAGE } from "./paging.ts";
import type { Shown } from "./plain.ts";

/** Leaving pages out needs a browser that then holds what is read in its place. */
const MAY_SLEEP =
  globalThis.CSS?.supports("overflow-anchor", "auto") && CSS.supports("content-visibility", "auto");

/** Up to 50 settled rows in one box, which the browser leaves out of its work while it is out of sight. */
export class Page {
  readonly element = h("div", { class: "page" });
  readonly rows: Shown[] = [];
  #near = false;

  get full(): boolean {
    return this.rows.length === PAGE;
  }

  append(row: Shown): void {
    this.rows.push(row);
    this.element.append(row.element);
    if (this.#near) row.near();
  }

  prepend(row: Shown): void {
    this.rows.unshift(row);
    this.element.prepend(row.element);
    if (this.#near) row.near();
  }

  /** It is seen, or nearly. */
  near(): void {
    this.#near = true;
    for (const row of this.rows) row.near();
  }

  /** Drops the rows from `place` on. */
  cut(place: number): void {
    for (const row of this.rows.splice(place)) row.element.remove();
    this.wake();
  }

  /** Laid out always, as while it grows. */
  wake(): void {
    this.element.classList.remove("asleep");
  }

  get #asleep(): boolean {
    return this.element.classList.contains("asleep");
  }

  /** These may be left out, under their true heights: guessed ones would make the scroll jump by the difference. */
  static sleep(pages: readonly Page[]): void {
    const awake = pages.filter((page) => page.full && !page.#asleep);
    // All are measured before the first one changes, or each would cost a layout of its own.
    const heights = MAY_SLEEP ? awake.map(({ element }) => element.offsetHeight) : [];
    for (const [place, { element }] of awake.entries()) {
      const height = heights[place];
      if (!height) continue; // It is in no box now, as in a chat that is closed.
      element.style.setProperty("contain-intrinsic-size", `auto ${height}px`);
      element.classList.add("asleep");
    }
  }
}
