/** Shows Markdown while it is being written: what is settled stays, and only the end is made equal to what it says. */

import { type Block, isLeaf } from "./block.ts";
import { Blocks } from "./blocks.ts";
import { elementAt, type MarkdownOptions, patch, trim } from "./elements.ts";
import { type Mark, withMarks } from "./marks.ts";
import { tokens } from "./parse.ts";
import { beginsWith, type Token } from "./tree.ts";

/** A block with text, as it is shown. Its tokens are kept, so that a mark can be set without parsing again. */
interface Leaf {
  readonly block: Block;
  readonly element: HTMLElement;
  readonly tokens: Token[];
  /** Where its text begins in the source; NaN if it has none. */
  readonly start: number;
  readonly settled: boolean;
  /** With which marks it was painted. */
  marks?: readonly Mark[];
}

export class MarkdownView {
  readonly #root: HTMLElement;
  readonly #options: MarkdownOptions;
  #blocks = new Blocks();
  /** In the order of the document; the settled ones come first. */
  #leaves: Leaf[] = [];
  readonly #marks: Mark[] = [];
  #text = "";
  #finished = false;

  constructor(root: HTMLElement, options: MarkdownOptions = {}) {
    this.#root = root;
    this.#options = options;
  }

  /** Shows the whole text so far. One that does not begin with the last one is shown anew; marks stay. */
  update(text: string): void {
    this.#show(text, false);
  }

  /** Shows a text that will not grow any more, by default the last one. */
  finish(text = this.#text): void {
    this.#show(text, true);
  }

  /**
   * Marks a span of the source: every stretch of text in it is put into an element of its own that `make` gives,
   * empty. An empty span is a point: what `make` gives is set there, once, behind the word or character before it.
   */
  mark(start: number, end: number, make: () => HTMLElement): void {
    const mark = { start, end, make };
    this.#marks.push(mark);
    // In an order of their own, so that it does not matter in which they came.
    this.#marks.sort((a, b) => a.start - b.start || b.end - a.end);
    for (const i of this.#leaves.keys()) if (this.#touches(mark, i)) this.#paint(i);
  }

  #reset(): void {
    this.#root.replaceChildren();
    this.#blocks = new Blocks();
    this.#leaves = [];
  }

  #show(text: string, whole: boolean): void {
    if (this.#finished && text === this.#text) return;
    if (this.#finished || !beginsWith(text, this.#text)) this.#reset();
    this.#text = text;
    this.#finished = whole;
    this.#blocks.read(text, whole);
    while (this.#leaves.at(-1)?.settled === false) this.#leaves.pop();
    const first = this.#leaves.length;
    this.#kids(this.#blocks.root, this.#root, whole);
    // A point behind the last settled text is only now known to belong to it, or to what comes next.
    let from = first;
    while (this.#marks.length > 0 && from > 0 && Number.isNaN(this.#leaves[--from]?.start ?? 0));
    for (let i = from; i < this.#leaves.length; i++) {
      this.#paint(i);
      const { block, element, settled } = this.#leaves[i] as Leaf;
      if (block.tag !== "pre" || !settled || i < first) continue;
      this.#options.code?.(element.parentNode as HTMLElement, language(block), block.text);
    }
  }

  /** Makes the elements of a block's kids that are not settled yet. */
  #kids(block: Block, parent: HTMLElement, whole: boolean): void {
    const options = this.#options;
    const { shown } = block;
    let there = shown.last ? shown.last.nextSibling : parent.firstChild;
    for (let i = shown.kids; i < block.kids.length; i++) {
      const kid = block.kids[i] as Block;
      const settled = whole || i < block.settled;
      const isCode = kid.tag === "pre";
      const dir = parent === this.#root && !isCode && { dir: direction(kid) };
      const element = elementAt(
        parent,
        there,
        kid.tag,
        isCode ? {} : { ...kid.attributes, ...dir },
        options,
      );
      if (isLeaf(kid)) {
        this.#leaves.push({
          block: kid,
          element: isCode
            ? elementAt(element, element.firstChild, "code", kid.attributes, options)
            : element,
          tokens: tokens(kid, !settled),
          start: kid.map[1] ?? NaN,
          settled,
        });
      } else this.#kids(kid, element, settled);
      there = element.nextSibling;
      if (settled) Object.assign(shown, { kids: i + 1, last: element });
    }
    trim(parent, there);
  }

  /** Whether a span has text in a leaf, or a point lies between its beginning and that of the next. */
  #touches({ start, end }: Mark, i: number): boolean {
    const from = (this.#leaves[i] as Leaf).start;
    let next = i + 1;
    while (Number.isNaN(this.#leaves[next]?.start ?? 0)) next++;
    const to = this.#leaves[next]?.start ?? Infinity;
    return start < end
      ? start < to && end > from
      : start > from && start <= to && start <= this.#blocks.end;
  }

  #paint(i: number): void {
    const leaf = this.#leaves[i] as Leaf;
    const marks = this.#marks.filter((mark) => this.#touches(mark, i));
    if (marks.length === leaf.marks?.length && marks.every((mark) => leaf.marks?.includes(mark)))
      return;
    leaf.marks = marks;
    patch(leaf.element, withMarks(leaf.tokens, marks), this.#options);
    if (leaf.settled && leaf.block.tag === "pre")
      this.#options.colour?.(leaf.element, language(leaf.block));
  }
}

function language(block: Block): string {
  return block.attributes["class"]?.slice(9) ?? "";
}

/** So far into a block its first letter is looked for: it is asked at every change. */
const BEGINNING = 500;

/** The direction of its first letter outside of code, as `dir="auto"` would have it, but that costs a walk per change. */
function direction(block: Block): string {
  let leaf = block;
  while (leaf.kids[0]) leaf = leaf.kids[0];
  return /^\P{L}*[\u0590-\u08ff\ufb1d-\ufefc]/u.test(
    leaf.text.slice(0, BEGINNING).replace(/`[^`]*`?/g, ""),
  )
    ? "rtl"
    : "ltr";
}
