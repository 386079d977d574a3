/**
 * What stands inside of a block: emphasis, code, links. One pass cuts the text into pieces, delimiters find their
 * partners among them (CommonMark's algorithm), and `build` makes the tree. Every step is linear.
 */

import { bareUrlEnd, destination, encode, ENTITY, ESCAPABLE, entity, matchAt } from "./links.ts";
import { type Attributes, type Element, isText, place, plain, type Text, type Token } from "./tree.ts";

/** Deeper elements are left out and their text kept: what walks the tree may recurse. */
const DEPTH = 20;

/** How much of a text may wait for the `]` or `)` of an unfinished link before it is taken for plain text. */
const PATIENCE = 300;

/** Text from `from` to `to`, or `shown` in its stead, after the ends and before the beginnings of elements. */
interface Piece {
  from: number;
  to: number;
  shown?: string;
  ends: number;
  /** Innermost first, as partners are found from the inside. */
  begins: [tag: string, attributes: Attributes][];
}

interface Delimiter {
  readonly piece: Piece;
  readonly order: number;
  readonly char: string;
  readonly length: number;
  readonly opens: boolean;
  readonly closes: boolean;
}

interface Bracket {
  readonly piece: Piece;
  readonly image: boolean;
  /** How many delimiters came before it. */
  readonly before: number;
}

const SPECIAL = /[\\`*_~[\]<&\n]|!\[|https?:\/\/|www\./gi;
const AUTOLINK = /<(?:([a-z][a-z\d+.-]{1,31}:[^\s<>]*)|([\w.!#$%&'*+/=?^`{|}~-]+@[a-z\d-]+(?:\.[a-z\d-]+)*))>/iy;

class Scanner {
  readonly #text: string;
  readonly #live: boolean;
  readonly pieces: Piece[] = [];
  #delimiters: Delimiter[] = [];
  readonly #brackets: Bracket[] = [];
  /** Brackets below this index begin no link, since a link lies in them. */
  #barred = 0;
  /** Where the last run of so many backticks stands, made when first asked for. */
  #backticks: Map<number, number> | undefined;
  /** Up to where the text is in pieces. */
  #done = 0;

  constructor(text: string, live: boolean) {
    this.#text = text;
    this.#live = live;
  }

  scan(): Piece[] {
    const text = this.#text;
    SPECIAL.lastIndex = 0;
    for (let found = SPECIAL.exec(text); found; found = SPECIAL.exec(text)) {
      const at = found.index;
      this.#special(found[0], at);
      SPECIAL.lastIndex = Math.max(this.#done, at + found[0].length);
    }
    this.#piece(this.#done, text.length);
    if (this.#live) this.#closeBracket();
    this.#pair(0, this.#live);
    return this.pieces;
  }

  /** Puts what came before `from` and then a piece up to `to` behind the others. */
  #add(from: number, to: number, shown?: string): Piece {
    if (from > this.#done) this.#piece(this.#done, from);
    this.#done = to;
    return this.#piece(from, to, shown);
  }

  #piece(from: number, to: number, shown?: string): Piece {
    const piece: Piece = { from, to, ends: 0, begins: [] };
    if (shown !== undefined) piece.shown = shown;
    this.pieces.push(piece);
    return piece;
  }

  /** An element that lasts from one index to another and holds text only. */
  #element(tag: string, attributes: Attributes, at: number, from: number, to: number, end: number, shown?: string) {
    this.#add(at, from, "").begins.push([tag, attributes]);
    this.#add(from, to, shown);
    this.#add(to, end, "").ends++;
  }

  #special(found: string, at: number): void {
    switch (found[0]) {
      case "\\":
        return this.#backslash(at);
      case "\n":
        return this.#lineEnd(at, at, this.#text[at - 1] === " " && this.#text[at - 2] === " ");
      case "`":
        return this.#code(at);
      case "&":
        return this.#entity(at);
      case "<":
        return this.#autolink(at);
      case "]":
        return this.#close(at);
      case "[":
      case "!":
        this.#brackets.push({
          piece: this.#add(at, at + found.length),
          image: found === "![",
          before: this.#delimiters.length,
        });
        return;
      case "*":
      case "_":
      case "~":
        return this.#run(found, at);
    }
    const end = bareUrlEnd(this.#text, at);
    if (end === at) return;
    const url = this.#text.slice(at, end);
    const complete = !this.#live || end < this.#text.length;
    this.#element("a", complete ? { href: encode(/^w/i.test(url) ? `http://${url}` : url) } : {}, at, at, end, end);
  }

  #backslash(at: number): void {
    const next = this.#text[at + 1] ?? "";
    if (next === "\n") this.#lineEnd(at, at + 1, true);
    else if (ESCAPABLE.test(next)) {
      this.#add(at, at + 1, "");
      this.#add(at + 1, at + 2);
    }
  }

  #lineEnd(from: number, at: number, hard: boolean): void {
    let end = from;
    while (end > this.#done && this.#text[end - 1] === " ") end--;
    if (end < from) this.#add(end, from, "");
    if (hard) {
      this.#add(from, at, "").begins.push(["br", {}]);
      this.#add(at, at, "").ends++;
    }
    this.#add(at, at + 1);
  }

  #code(at: number): void {
    const text = this.#text;
    const from = runEnd(text, at);
    let to = this.#closingBackticks(from, from - at);
    let end = to + from - at;
    if (to < 0) {
      if (!this.#live) {
        this.#add(at, from);
        return;
      }
      to = end = text.length;
    }
    const shown = text.slice(from, to).replaceAll("\n", " ");
    const padded = shown.length > 1 && shown.startsWith(" ") && shown.endsWith(" ") && shown.trim() !== "";
    const pad = padded ? 1 : 0;
    this.#element("code", {}, at, from + pad, to - pad, end, shown.slice(pad, shown.length - pad));
  }

  /** Where the next run of exactly so many backticks begins; -1 without searching if none is left. */
  #closingBackticks(from: number, length: number): number {
    const text = this.#text;
    if (!this.#backticks) {
      this.#backticks = new Map();
      for (let i = text.indexOf("`", from); i >= 0; i = text.indexOf("`", i)) {
        const end = runEnd(text, i);
        this.#backticks.set(end - i, i);
        i = end;
      }
    }
    if ((this.#backticks.get(length) ?? -1) < from) return -1;
    let at = text.indexOf("`", from);
    for (let end = runEnd(text, at); end - at !== length; end = runEnd(text, at)) at = text.indexOf("`", end);
    return at;
  }

  #entity(at: number): void {
    const match = matchAt(ENTITY, this.#text, at);
    const char = match && entity(match);
    if (char) this.#add(at, ENTITY.lastIndex, char);
  }

  #autolink(at: number): void {
    const match = matchAt(AUTOLINK, this.#text, at);
    if (!match) return;
    const [, url, mail] = match;
    const end = AUTOLINK.lastIndex;
    this.#element("a", { href: url ? encode(url) : `mailto:${mail}` }, at, at + 1, end - 1, end);
  }

  #close(at: number): void {
    const bracket = this.#brackets.pop();
    const depth = this.#brackets.length;
    const barred = depth < this.#barred;
    this.#barred = Math.min(this.#barred, depth);
    if (!bracket || (barred && !bracket.image)) return;
    let link = destination(this.#text, at + 1);
    const unfinished = !link && this.#live && this.#unfinished(at + 1);
    if (unfinished) link = { href: "", title: "", end: this.#text.length };
    if (!link) return;
    const { href, title, end } = link;
    const named = title ? { title } : {};
    this.#pair(bracket.before, false);
    bracket.piece.shown = "";
    if (unfinished) bracket.piece.begins.push(["a", {}]);
    else bracket.piece.begins.push(bracket.image ? ["img", { src: href, ...named }] : ["a", { href, ...named }]);
    this.#add(at, end, "").ends++;
    if (!bracket.image) this.#barred = depth;
  }

  /** Whether what follows a `]` may still become a destination. */
  #unfinished(at: number): boolean {
    const rest = this.#text.slice(at, at + PATIENCE);
    return at + PATIENCE > this.#text.length && /^(?:\(\s*\S*(?:\s+(?:["'(].*)?)?)?$/s.test(rest);
  }

  /** Takes the last open bracket for a link whose rest is still to come. */
  #closeBracket(): void {
    const bracket = this.#brackets.at(-1);
    const length = this.#text.length;
    if (!bracket || this.#brackets.length <= this.#barred || length - bracket.piece.from > PATIENCE) return;
    this.#pair(bracket.before, true);
    bracket.piece.shown = "";
    bracket.piece.begins.push(["a", {}]);
    this.#piece(length, length).ends++;
  }

  #run(char: string, at: number): void {
    const text = this.#text;
    const end = runEnd(text, at);
    const piece = this.#add(at, end);
    if (char === "~" && end - at > 2) return;
    const before = kind(codePointBefore(text, at));
    const after = kind(text.codePointAt(end));
    const left = after !== SPACE && (after !== MARK || before !== LETTER);
    const right = before !== SPACE && (before !== MARK || after !== LETTER);
    const inWord = char === "_" && left && right;
    this.#delimiters.push({
      piece,
      order: this.#delimiters.length,
      char,
      length: end - at,
      opens: left && (!inWord || before === MARK),
      closes: right && (!inWord || after === MARK),
    });
  }

  /** Finds the partners of all delimiters from an index on, and forgets these; `live`: what stays open, closes. */
  #pair(from: number, live: boolean): void {
    const openers: Delimiter[] = [];
    /** Per kind of closer: up to where no opener fits, so that no stretch is searched twice. */
    const bottoms = new Map<string, number>();
    for (const closer of this.#delimiters.splice(from)) {
      if (closer.closes) {
        const key = closer.char + closer.opens + (closer.char === "~" ? closer.length : closer.length % 3);
        while (left(closer) > 0) {
          const bottom = bottoms.get(key) ?? -1;
          let i = openers.length - 1;
          while (i >= 0 && !fits(openers[i] as Delimiter, closer) && (openers[i] as Delimiter).order > bottom) i--;
          const opener = openers[i];
          if (!opener || opener.order <= bottom) {
            bottoms.set(key, openers.at(-1)?.order ?? -1);
            break;
          }
          consume(opener, closer.piece, Math.min(left(opener), left(closer), 2));
          openers.length = left(opener) > 0 ? i + 1 : i;
        }
      }
      if (closer.opens && left(closer) > 0) openers.push(closer);
    }
    if (!live) return;
    const end = this.#piece(this.#text.length, this.#text.length);
    for (const opener of openers.reverse()) {
      if (opener.char !== "~" || opener.length === 2) while (left(opener) > 0) consume(opener, end, Math.min(left(opener), 2));
    }
  }
}

const left = ({ piece }: Delimiter): number => piece.to - piece.from;

/** CommonMark's rule of three keeps `**` and `*` of one run apart; GFM wants as many tildes as there were. */
function fits(opener: Delimiter, closer: Delimiter): boolean {
  if (opener.char !== closer.char) return false;
  if (opener.char === "~") return opener.length === closer.length;
  if (!opener.closes && !closer.opens) return true;
  return (opener.length + closer.length) % 3 > 0 || (opener.length % 3 === 0 && closer.length % 3 === 0);
}

/** Makes an element of as many characters of the opener's right and the closer's left end. */
function consume(opener: Delimiter, closer: Piece, count: number): void {
  opener.piece.to -= count;
  opener.piece.begins.push([opener.char === "~" ? "del" : count === 2 ? "strong" : "em", {}]);
  closer.from += count;
  closer.ends++;
}

const SPACE = 0;
const MARK = 1;
const LETTER = 2;

function kind(code: number | undefined): number {
  if (code === undefined) return SPACE;
  const char = String.fromCodePoint(code);
  return /\s/.test(char) ? SPACE : /[\p{P}\p{S}]/u.test(char) ? MARK : LETTER;
}

function codePointBefore(text: string, at: number): number | undefined {
  const code = text.charCodeAt(at - 1);
  return code >= 0xdc00 && code < 0xe000 ? text.codePointAt(at - 2) : at > 0 ? code : undefined;
}

function runEnd(text: string, at: number): number {
  let end = at;
  while (text[end] === text[at] && end < text.length) end++;
  return end;
}

function build(pieces: Piece[], { text, map }: Text): Token[] {
  const root: Element = ["", {}];
  const open = [root];
  /** Elements left out: those too deep, and links in links. */
  let skipped = 0;
  let m = 0;

  const append = (shown: string, from: number, to: number): void => {
    const parent = open.at(-1) as Element;
    let last = parent.at(-1) as Token;
    if (parent.length < 3 || !isText(last)) parent.push((last = { text: "", map: [] }));
    while ((map[m + 2] ?? to) <= from && m + 2 < map.length) m += 2;
    place(last.map, last.text.length, (map[m + 1] as number) + from - (map[m] as number));
    for (; shown.length === to - from && (map[m + 2] ?? to) < to; m += 2) {
      place(last.map, last.text.length + (map[m + 2] as number) - from, map[m + 3] as number);
    }
    last.text += shown;
  };

  const end = (): void => {
    if (skipped > 0) {
      skipped--;
      return;
    }
    const element = open.pop() as Element;
    if (element[0] !== "img") return;
    element[1] = { ...element[1], alt: plain(element) };
    element.length = 2;
  };

  for (const { from, to, shown = text.slice(from, to), ends, begins } of pieces) {
    for (let i = 0; i < ends; i++) end();
    if (shown && from < to) append(shown, from, to);
    for (const [tag, attributes] of begins.reverse()) {
      if (skipped > 0 || open.length > DEPTH || (tag === "a" && open.some((element) => element[0] === "a"))) skipped++;
      else {
        const element: Element = [tag, attributes];
        (open.at(-1) as Element).push(element);
        open.push(element);
      }
    }
  }
  return root.slice(2) as Token[];
}

/**
 * The tokens of a block's text. `live`: more of it may come, so what is still open is closed as if it ended here, a
 * link without its destination has no `href`, and markup that has only begun is not shown.
 */
export function inline(leaf: Text, live: boolean): Token[] {
  let { text } = leaf;
  if (live) {
    let end = text.length;
    while (end > 0 && "*_~`[\\<&".includes(text[end - 1] as string)) end--;
    if (text[end] === "[" && text[end - 1] === "!") end--;
    text = text.slice(0, end);
  }
  return build(new Scanner(text, live).scan(), { ...leaf, text });
}
