/** Finds which runs of `*`, `_` and `~` belong together: CommonMark's algorithm, and GFM's rule for tildes. */

import type { Attributes } from "./tree.ts";

/** Text from `from` to `to`, or `shown` in its stead, after the ends and before the beginnings of elements. */
export interface Piece {
  from: number;
  to: number;
  shown?: string | undefined;
  ends: number;
  /** Innermost first, as partners are found from the inside. */
  begins: [tag: string, attributes: Attributes][];
}

export interface Delimiter extends Piece {
  readonly order: number;
  readonly char: string;
  /** Its length at first; `from` and `to` come closer as partners are found. */
  readonly size: number;
  readonly opens: boolean;
  readonly closes: boolean;
}

const SPACE = 0;
const MARK = 1;
const LETTER = 2;

const kind = (char: string): number =>
  /^\s?$/.test(char) ? SPACE : /[\p{P}\p{S}]/u.test(char) ? MARK : LETTER;

const isPair = (text: string, at: number): boolean => (text.codePointAt(at) ?? 0) > 0xffff;

/** Whether a run may open or close, by the characters before and behind it. */
export function flanks(
  text: string,
  from: number,
  to: number,
): { readonly opens: boolean; readonly closes: boolean } {
  const before = kind(isPair(text, from - 2) ? text.slice(from - 2, from) : (text[from - 1] ?? ""));
  const after = kind(text.slice(to, to + (isPair(text, to) ? 2 : 1)));
  const left = after > (before === LETTER ? MARK : SPACE);
  const right = before > (after === LETTER ? MARK : SPACE);
  const inWord = text[from] === "_" && left && right;
  return {
    opens: left && (!inWord || before === MARK),
    closes: right && (!inWord || after === MARK),
  };
}

const left = ({ from, to }: Piece): number => to - from;

/** CommonMark's rule of three keeps `**` and `*` of one run apart; GFM wants as many tildes as there were. */
function fits(opener: Delimiter, closer: Delimiter): boolean {
  if (opener.char !== closer.char) return false;
  if (opener.char === "~") return opener.size === closer.size;
  const both = opener.closes || closer.opens;
  return !both || (opener.size + closer.size) % 3 > 0 || opener.size % 3 === 0;
}

/** Makes an element of as many characters of the opener's right and the closer's left end as there may be. */
function consume(opener: Delimiter, closer: Piece, available: number): void {
  const count = Math.min(left(opener), available, 2);
  opener.to -= count;
  opener.begins.push([opener.char === "~" ? "del" : count > 1 ? "strong" : "em", {}]);
  closer.from += count;
  closer.ends++;
}

/** Finds partners among delimiters in their order. What then is still open, closes at `end`, if that is given. */
export function pair(delimiters: Delimiter[], end?: Piece): void {
  const openers: Delimiter[] = [];
  /** Per kind of closer: up to where no opener fits, so that no stretch is searched twice. */
  const bottoms: Record<string, number> = {};
  for (const closer of delimiters) {
    const key = closer.char + closer.opens + (closer.char === "~" ? closer.size : closer.size % 3);
    while (closer.closes && left(closer) > 0) {
      const bottom = bottoms[key] ?? -1;
      let i = openers.length - 1;
      while (
        i >= 0 &&
        (openers[i] as Delimiter).order > bottom &&
        !fits(openers[i] as Delimiter, closer)
      )
        i--;
      const opener = openers[i];
      if (!opener || opener.order <= bottom) {
        bottoms[key] = openers.at(-1)?.order ?? -1;
        break;
      }
      consume(opener, closer, left(closer));
      openers.length = i + Math.sign(left(opener));
    }
    if (closer.opens && left(closer) > 0) openers.push(closer);
  }
  if (!end) return;
  for (const opener of openers.reverse()) {
    while (left(opener) > 0 && opener.char + opener.size !== "~1") consume(opener, end, 2);
  }
}
