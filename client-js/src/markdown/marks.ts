/** Sets marks of spans of the source, such as citations, into the tokens of a leaf. */

import { type Attributes, indexOf, isText, offsetOf, place, type Text, type Token } from "./tree.ts";

/** A span of the source (UTF-16 code units) or, if it is empty, a point in it. */
export interface Mark {
  readonly start: number;
  readonly end: number;
  readonly make: () => HTMLElement;
}

/** A token, or an element that a mark makes, with what it encloses. */
export type Shown = Text | [tag: string | Mark, attributes: Attributes, ...children: Shown[]];

/** The order in which marks are set, whatever the order they came in: outer spans before those in them. */
export const inOrder = (a: Mark, b: Mark): number => a.start - b.start || b.end - a.end;

export function withMarks(tokens: Token[], marks: readonly Mark[]): Shown[] {
  let shown: Shown[] = tokens;
  for (const mark of marks) shown = mark.start < mark.end ? enclosed(shown, mark) : pointed(shown, mark);
  return shown;
}

const isShownText = (token: Shown): token is Text => isText(token as Token);

function part(text: Text, from: number, to: number): Text {
  const map: number[] = [];
  place(map, 0, offsetOf(text, from));
  for (let i = 0; i < text.map.length; i += 2) {
    const index = text.map[i] as number;
    if (index > from && index < to) place(map, index - from, text.map[i + 1] as number);
  }
  return { text: text.text.slice(from, to), map };
}

/** Cuts a text at two indexes and gives what is not empty, the middle one dressed. */
function cut(text: Text, from: number, to: number, dress: (middle: Text) => Shown): Shown[] {
  const shown: Shown[] = [];
  if (from > 0) shown.push(part(text, 0, from));
  if (from < to) shown.push(dress(part(text, from, to)));
  if (to < text.text.length) shown.push(part(text, to, text.text.length));
  return shown;
}

function enclosed(tokens: Shown[], mark: Mark): Shown[] {
  return tokens.flatMap((token): Shown[] => {
    if (!isShownText(token)) {
      const [tag, attributes, ...children] = token;
      return [[tag, attributes, ...enclosed(children, mark)]];
    }
    const from = indexOf(token, mark.start);
    const to = indexOf(token, mark.end);
    return from < to ? cut(token, from, to, (middle) => [mark, {}, middle]) : [token];
  });
}

/** Sets a point before the first character behind it; never into a link, where it could not be used. */
function pointed(tokens: Shown[], mark: Mark): Shown[] {
  return insert(tokens, mark) ?? [...tokens, [mark, {}]];
}

function insert(tokens: Shown[], mark: Mark): Shown[] | null {
  for (const [i, token] of tokens.entries()) {
    const put = (...instead: Shown[]): Shown[] => [...tokens.slice(0, i), ...instead, ...tokens.slice(i + 1)];
    const first = firstOffset(token);
    if (first === undefined) continue;
    if (first >= mark.start) return put([mark, {}], token);
    if (isShownText(token)) {
      const at = indexOf(token, mark.start);
      if (at < token.text.length) return put(part(token, 0, at), [mark, {}], part(token, at, token.text.length));
    } else if (token[0] !== "a") {
      const [tag, attributes, ...children] = token;
      const within = insert(children, mark);
      if (within) return put([tag, attributes, ...within]);
    }
  }
  return null;
}

function firstOffset(token: Shown): number | undefined {
  if (isShownText(token)) return token.map[1];
  for (const child of token.slice(2) as Shown[]) {
    const offset = firstOffset(child);
    if (offset !== undefined) return offset;
  }
  return undefined;
}
