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

export const isText = (token: Token): token is Text => !Array.isArray(token);

/** Says that from `index` on the text stands at `offset` of the source, if that is not already said. */
export function place(map: number[], index: number, offset: number): void {
  const n = map.length;
  if (n === 0 || offset - index !== (map[n - 1] as number) - (map[n - 2] as number)) map.push(index, offset);
}

/** The index in the text of an offset of the source; one inside of syntax is where the text before it ends. */
export function indexOf({ text, map }: Text, offset: number): number {
  let i = map.length - 2;
  while (i > 0 && (map[i + 1] as number) > offset) i -= 2;
  const index = (map[i] as number) + Math.max(0, offset - (map[i + 1] as number));
  return Math.min(index, map[i + 2] ?? text.length);
}

/** The offset in the source of an index of the text. */
export function offsetOf({ map }: Text, index: number): number {
  let i = map.length - 2;
  while (i > 0 && (map[i] as number) > index) i -= 2;
  return (map[i + 1] as number) + index - (map[i] as number);
}

/** What a reader would read aloud of a token. */
export function plain(token: Token): string {
  if (isText(token)) return token.text;
  const [, { alt = "" }, ...children] = token;
  return alt + children.map(plain).join("");
}
