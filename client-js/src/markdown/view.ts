/** Shows Markdown while it is being written: what is settled stays, and only the end is made equal to what it says. */

import { type Block, Blocks, isLeaf } from "./blocks.ts";
import { Elements, type MarkdownOptions, trim } from "./elements.ts";
import { inOrder, type Mark, withMarks } from "./marks.ts";
import { tokens } from "./parse.ts";
import type { Token } from "./tree.ts";

/** A block with text, as it is shown. Its tokens are kept, so that a mark can be set without parsing again. */
interface Leaf {
  readonly block: Block;
  readonly element: HTMLElement;
  readonly tokens: Token[];
  /** Where its text begins in the source; NaN if it has none. */
  readonly start: number;
  readonly settled: boolean;
}

/** How many kids of a block need not be looked at again, and the element of the last of these. */
interface Progress {
  settled: number;
  last: Node | null;
}

export class MarkdownView {
  readonly #root: HTMLElement;
  readonly #options: MarkdownOptions;
  readonly #elements: Elements;
  #blocks = new Blocks();
  #progress = new WeakMap<Block, Progress>();
  /** In the order of the document; the settled ones come first. */
  #leaves: Leaf[] = [];
  #marks: Mark[] = [];
  #text = "";
  #finished = false;

  constructor(root: HTMLElement, options: MarkdownOptions = {}) {
    this.#root = root;
    this.#options = options;
    this.#elements = new Elements(root.ownerDocument, options);
  }

  get text(): string {
    return this.#text;
  }

  /** Shows the whole text so far. One that does not begin with the last one is shown anew; marks stay. */
  update(text: string): void {
    if (this.#finished || !text.startsWith(this.#text)) this.#reset();
    this.#text = text;
    this.#show(false);
  }

  append(delta: string): void {
    this.update(this.#text + delta);
  }

  /** Shows a text that will not grow any more, by default the last one. */
  finish(text = this.#text): void {
    if (text !== this.#text) this.update(text);
    if (this.#finished) return;
    this.#show(true);
    this.#finished = true;
  }

  /**
   * Marks a span of the source: every stretch of text in it is put into an element of its own that `make` gives,
   * empty. An empty span is a point: what `make` gives is set there, once, behind the character before it.
   */
  mark(start: number, end: number, make: () => HTMLElement): void {
    const mark = { start, end, make };
    this.#marks = [...this.#marks, mark].sort(inOrder);
    this.#leaves.forEach((leaf, i) => {
      if (!this.#touches(mark, i)) return;
      this.#paint(i);
      if (leaf.block.tag === "pre" && leaf.settled) this.#options.colour?.(leaf.element, language(leaf.block));
    });
  }

  #reset(): void {
    this.#root.replaceChildren();
    this.#blocks = new Blocks();
    this.#progress = new WeakMap();
    this.#leaves = [];
    this.#finished = false;
  }

  #show(whole: boolean): void {
    this.#blocks.read(this.#text, whole);
    while (this.#leaves.at(-1)?.settled === false) this.#leaves.pop();
    const first = this.#leaves.length;
    this.#blocksOf(this.#blocks.root, this.#root, whole);
    for (let i = first; i < this.#leaves.length; i++) {
      this.#paint(i);
      const { block, element, settled } = this.#leaves[i] as Leaf;
      if (block.tag !== "pre" || !settled) continue;
      const name = language(block);
      this.#options.code?.(element.parentNode as HTMLElement, name, block.text);
      this.#options.colour?.(element, name);
    }
  }

  /** Makes the elements of a block's kids that are not settled yet. */
  #blocksOf(block: Block, parent: HTMLElement, whole: boolean): void {
    const progress = this.#progress.get(block) ?? { settled: 0, last: null };
    this.#progress.set(block, progress);
    let there = progress.last ? progress.last.nextSibling : parent.firstChild;
    for (let i = progress.settled; i < block.kids.length; i++) {
      const kid = block.kids[i] as Block;
      const settled = whole || i < block.settled;
      const dir = parent === this.#root ? { dir: "auto" } : {};
      const element = this.#elements.at(parent, there, kid.tag, kid.tag === "pre" ? {} : { ...kid.attributes, ...dir });
      if (isLeaf(kid)) this.#leaf(kid, element, settled);
      else this.#blocksOf(kid, element, settled);
      there = element.nextSibling;
      if (settled) Object.assign(progress, { settled: i + 1, last: element });
    }
    trim(parent, there);
  }

  #leaf(block: Block, element: HTMLElement, settled: boolean): void {
    const holder = block.tag === "pre" ? this.#elements.at(element, element.firstChild, "code", block.attributes) : element;
    this.#leaves.push({
      block,
      element: holder,
      tokens: tokens(block, !settled),
      start: block.map[1] ?? Number.NaN,
      settled,
    });
  }

  /** Whether a span has text in a leaf, or a point lies between its beginning and that of the next. */
  #touches({ start, end }: Mark, i: number): boolean {
    const from = (this.#leaves[i] as Leaf).start;
    let next = i + 1;
    while (Number.isNaN(this.#leaves[next]?.start)) next++;
    const to = this.#leaves[next]?.start ?? Number.POSITIVE_INFINITY;
    return start < end ? start < to && end > from : start > from && start <= to && start <= this.#blocks.end;
  }

  #paint(i: number): void {
    const { element, tokens } = this.#leaves[i] as Leaf;
    const marks = this.#marks.filter((mark) => this.#touches(mark, i));
    this.#elements.patch(element, withMarks(tokens, marks));
  }
}

function language(block: Block): string {
  return (block.attributes["class"] ?? "").replace("language-", "");
}
