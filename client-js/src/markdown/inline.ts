/**
 * What stands inside of a block: emphasis, code, links. One pass cuts the text into pieces, delimiters find their
 * partners among them, and `build` makes the tree. Every step is linear.
 */

import { type Delimiter, flanks, type Piece, pair } from "./emphasis.ts";
import {
  BARE_URL,
  character,
  type Destination,
  destination,
  encode,
  matchAt,
  REFERENCE,
} from "./links.ts";
import {
  type Attributes,
  append,
  type Element,
  isText,
  plain,
  type Text,
  type Token,
} from "./tree.ts";

/** Deeper elements are left out and their text kept: what walks the tree may recurse. */
const DEPTH = 20;

/** How much of a text may wait for the `]` or `)` of an unfinished link before it is taken for plain text. */
const PATIENCE = 300;

interface Bracket extends Piece {
  readonly image: boolean;
  /** How many delimiters came before it. */
  readonly before: number;
}

const SPECIAL = /[\\`*_~[\]<&\n]|!\[|https?:\/\/|www\./gi;
const AUTOLINK = /<(?:([a-z][a-z\d+.-]{1,31}:[^\s<>]*)|([^\s<>@\\]+@[a-z\d.-]+))>/iy;

class Scanner {
  readonly #text: string;
  readonly #live: boolean;
  readonly #pieces: Piece[] = [];
  readonly #delimiters: Delimiter[] = [];
  readonly #brackets: Bracket[] = [];
  /** Brackets below this index begin no link, since a link lies in them. */
  #barred = 0;
  /** By length: where runs of backticks begin, the last first; made when first asked for. */
  #backticks: number[][] | undefined;
  /** Up to where the text is in pieces. */
  #done = 0;

  constructor(text: string, live: boolean) {
    this.#text = text;
    this.#live = live;
  }

  scan(): Piece[] {
    const end = this.#text.length;
    for (let found = matchAt(SPECIAL, this.#text, 0); found; ) {
      this.#special(found[0], found.index);
      found = matchAt(SPECIAL, this.#text, Math.max(this.#done, found.index + found[0].length));
    }
    const open = this.#brackets.at(-1);
    if (this.#live && open && this.#brackets.length > this.#barred && end - open.from < PATIENCE) {
      this.#link(open, null, end, end);
    }
    pair(this.#delimiters, this.#live ? this.#add(end, end) : undefined);
    this.#add(end, end);
    return this.#pieces;
  }

  /** Puts what came before `from` and then a piece up to `to` behind the others. */
  #add<More>(from: number, to: number, shown?: string, more?: More): Piece & More {
    if (from > this.#done) this.#add(this.#done, from);
    this.#done = to;
    const piece = { from, to, shown, ends: 0, begins: [], ...(more as More) };
    this.#pieces.push(piece);
    return piece;
  }

  /** An element between two indexes that shows the text between two others. */
  #element(
    at: number,
    tag: string,
    attributes: Attributes,
    from: number,
    to: number,
    end: number,
    shown?: string,
  ) {
    this.#add(at, from, "").begins.push([tag, attributes]);
    this.#add(from, to, shown);
    this.#add(to, end, "").ends++;
  }

  #special(found: string, at: number): void {
    const text = this.#text;
    const next = at + found.length;
    if (found === "\n") this.#lineEnd(at, at, text.slice(at - 2, at) === "  ");
    else if (found === "\\" && text[next] === "\n") this.#lineEnd(at, next, true);
    else if (found === "\\" || found === "&") this.#reference(at);
    else if (found === "`") this.#code(at);
    else if (found === "<") this.#autolink(at);
    else if (found === "]") this.#close(at);
    else if (found.endsWith("[")) {
      const before = this.#delimiters.length;
      this.#brackets.push(this.#add(at, next, undefined, { image: found !== "[", before }));
    } else if (found.length < 2) this.#run(found, at);
    else this.#bareUrl(at);
  }

  #bareUrl(at: number): void {
    const url = matchAt(BARE_URL, this.#text, at)?.[0];
    if (!url) return;
    const end = at + url.length;
    const complete = !this.#live || end < this.#text.length;
    this.#element(
      at,
      "a",
      complete ? { href: encode(/^w/i.test(url) ? `http://${url}` : url) } : {},
      at,
      end,
      end,
    );
  }

  /** An escaped character, or an entity. */
  #reference(at: number): void {
    const match = matchAt(REFERENCE, this.#text, at);
    const char = match && character(match);
    if (!char) return;
    const backslash = match[1] ? 1 : 0;
    this.#add(at, at + backslash, "");
    this.#add(at + backslash, REFERENCE.lastIndex, char);
  }

  /** The end of a line; `from`: where its backslash stands, if it has one. */
  #lineEnd(from: number, at: number, hard: boolean): void {
    let end = from;
    while (end > this.#done && this.#text[end - 1] === " ") end--;
    if (hard) this.#element(end, "br", {}, at, at, at);
    this.#add(end, at, "");
    this.#add(at, at + 1);
  }

  #code(at: number): void {
    const text = this.#text;
    const from = runEnd(text, at);
    let to = this.#backticksAfter(from, from - at);
    if (to < 0 && !this.#live) {
      this.#add(at, from);
      return;
    }
    if (to < 0) to = text.length;
    const end = Math.min(to + from - at, text.length);
    const shown = text.slice(from, to).replaceAll("\n", " ");
    const pad = /^ .* $/.test(shown) && shown.trim() ? 1 : 0;
    this.#element(at, "code", {}, from + pad, to - pad, end, shown.slice(pad, shown.length - pad));
  }

  /** Where the next run of exactly so many backticks begins, or -1. */
  #backticksAfter(from: number, length: number): number {
    if (!this.#backticks) {
      this.#backticks = [];
      const runs = [...this.#text.matchAll(/`+/g)].reverse();
      for (const { 0: run, index } of runs) (this.#backticks[run.length] ??= []).push(index);
    }
    const runs = this.#backticks[length] ?? [];
    while ((runs.at(-1) as number) < from) runs.pop();
    return runs.at(-1) ?? -1;
  }

  #autolink(at: number): void {
    const [{ length } = "", url, mail] = matchAt(AUTOLINK, this.#text, at) ?? [];
    const end = at + length;
    if (length)
      this.#element(at, "a", { href: url ? encode(url) : `mailto:${mail}` }, at + 1, end - 1, end);
  }

  #close(at: number): void {
    const bracket = this.#brackets.pop();
    const depth = this.#brackets.length;
    const barred = depth < this.#barred;
    this.#barred = Math.min(this.#barred, depth);
    if (!bracket || (barred && !bracket.image)) return;
    const link = destination(this.#text, at + 1);
    if (!link && !this.#unfinished(at + 1)) return;
    this.#link(bracket, link, at, link ? link.end : this.#text.length);
    if (!bracket.image) this.#barred = depth;
  }

  /** Whether what follows a `]` may still become a destination. */
  #unfinished(at: number): boolean {
    const rest = this.#text.slice(at, at + PATIENCE);
    return (
      this.#live && rest.length < PATIENCE && /^(?:\(\s*\S*(?:\s+(?:["'(].*)?)?)?$/s.test(rest)
    );
  }

  /** Makes an element from a bracket up to `at`; without a destination yet even an image is a link to nowhere. */
  #link(bracket: Bracket, link: Destination | null, at: number, end: number): void {
    const { href = "", title = "" } = link ?? {};
    const last = this.#add(at, end, "");
    pair(this.#delimiters.splice(bracket.before), link ? undefined : last);
    last.from = at;
    last.ends++;
    bracket.shown = "";
    bracket.begins.push(
      link
        ? [
            bracket.image ? "img" : "a",
            { [bracket.image ? "src" : "href"]: href, ...(title && { title }) },
          ]
        : ["a", {}],
    );
  }

  #run(char: string, at: number): void {
    const end = runEnd(this.#text, at);
    const more = {
      order: this.#delimiters.length,
      char,
      size: end - at,
      ...flanks(this.#text, at, end),
    };
    const piece = this.#add(at, end, undefined, more);
    if (char !== "~" || piece.size < 3) this.#delimiters.push(piece);
  }
}

function runEnd(text: string, at: number): number {
  let end = at;
  while (text[end] === text[at] && end < text.length) end++;
  return end;
}

function build(pieces: Piece[], leaf: Text): Token[] {
  const root: Element = ["", {}];
  const open = [root];
  /** Elements left out: those too deep, and links in links. */
  let skipped = 0;
  for (const { from, to, shown = leaf.text.slice(from, to), ends, begins } of pieces) {
    for (let i = 0; i < ends; i++) {
      if (skipped > 0) skipped--;
      else finish(open.pop() as Element);
    }
    const parent = open.at(-1) as Element;
    if (shown && from < to) {
      if (parent.length < 3 || !isText(parent.at(-1))) parent.push({ text: "", map: [] });
      append(parent.at(-1) as Text, shown, leaf, from, shown.length < to - from ? from : to);
    }
    for (const [tag, attributes] of begins.reverse()) {
      if (
        skipped > 0 ||
        open.length > DEPTH ||
        (tag === "a" && open.some((element) => element[0] === "a"))
      )
        skipped++;
      else {
        const element: Element = [tag, attributes];
        (open.at(-1) as Element).push(element);
        open.push(element);
      }
    }
  }
  return root.slice(2) as Token[];
}

/** What was written as an image's text is its description. */
function finish(element: Element): void {
  if (element[0] === "img")
    element.splice(1, element.length, { ...element[1], alt: plain(element) });
}

/**
 * The tokens of a block's text. `live`: more of it may come, so what is still open is closed as if it ended here, a
 * link without its destination has no `href`, and markup that has only begun is not shown.
 */
export function inline(leaf: Text, live: boolean): Token[] {
  let end = leaf.text.length;
  if (live) {
    while (end > 0 && "*_~`[\\<&".includes(leaf.text[end - 1] as string)) end--;
    if (leaf.text.startsWith("![", end - 1)) end--;
  }
  const text = leaf.text.slice(0, end);
  if (!matchAt(SPECIAL, text, 0)) return text ? [{ text, map: leaf.map }] : [];
  return build(new Scanner(text, live).scan(), { text, map: leaf.map });
}
