/** The tree that the tokenizer gives: plain data, so that it can be made and tested without a DOM. */

export type Attributes = Readonly<Record<string, string>>;

/**
 * Characters that are shown, and where each of them stands in the source.
 *
 * `map` holds pairs of an index in `text` and an offset in the source (UTF-16 code units); from one pair to the next
 * both advance together. An escape, an entity or the mark of a quote makes a new pair.
 */
export interface Text {
  text: string;
  map: number[];
}

export type Element = [tag: string, attributes: Attributes, ...children: Token[]];

export type Token = Text | Element;

export const isText = (token: unknown): token is Text => !Array.isArray(token);

/** Says that from `index` on the text stands at `offset` of the source, if that is not already said. */
export function place(map: number[], index: number, offset: number): void {
  const n = map.length;
  if (n === 0 || offset - index !== (map[n - 1] as number) - (map[n - 2] as number))
    map.push(index, offset);
}

/** Where the last pair stands whose index (`side` 0) or offset (1) is not above a value, or else the first. */
function pairOf(map: number[], side: 0 | 1, value: number): number {
  let low = 0;
  for (let high = map.length / 2; high - low > 1; ) {
    const middle = (low + high) >> 1;
    if ((map[middle * 2 + side] as number) > value) high = middle;
    else low = middle;
  }
  return low * 2;
}

/** The index in the text of an offset of the source; one inside of syntax is where the text before it ends. */
export function indexOf({ text, map }: Text, offset: number): number {
  const i = pairOf(map, 1, offset);
  return Math.min((map[i] as number) + offset - (map[i + 1] as number), map[i + 2] ?? text.length);
}

/** The offset in the source of an index of the text. */
export function offsetOf({ map }: Text, index: number): number {
  const i = pairOf(map, 0, index);
  return (map[i + 1] as number) + index - (map[i] as number);
}

/** Adds characters to a text that stand in another from one index to another. */
export function append(to: Text, shown: string, source: Text, from: number, end: number): void {
  if (!shown) return;
  const base = to.text.length - from;
  place(to.map, base + from, offsetOf(source, from));
  const { map } = source;
  for (let i = pairOf(map, 0, from) + 2; (map[i] as number) < end; i += 2) {
    place(to.map, base + (map[i] as number), map[i + 1] as number);
  }
  to.text += shown;
}

/** What a reader would read aloud of a token. */
export function plain(token: Token): string {
  if (isText(token)) return token.text;
  const [, { alt = "" }, ...children] = token;
  return alt + children.map(plain).join("");
}

/** `startsWith`, by the comparison that engines do in one go: it runs over the whole text at every update. */
export const beginsWith = (text: string, begin: string): boolean =>
  text.slice(0, begin.length) === begin;
