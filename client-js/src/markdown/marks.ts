/** Sets marks of spans of the source, such as citations, into the tokens of a leaf. */

import { type Attributes, append, indexOf, isText, type Text, type Token } from "./tree.ts";

/** A span of the source (UTF-16 code units) or, if it is empty, a point in it. */
export interface Mark {
  readonly start: number;
  readonly end: number;
  readonly make: () => HTMLElement;
}

/** A token, or an element that a mark makes, with what it encloses. */
export type Shown = Text | [tag: string | Mark, attributes: Attributes, ...children: Shown[]];

/** The tokens of a leaf with marks set into them, outer spans before those in them. */
export function withMarks(tokens: Token[], marks: readonly Mark[]): Shown[] {
  let shown: Shown[] = tokens;
  for (const mark of marks) {
    if (mark.start < mark.end) shown = enclose(split(split(shown, mark.start), mark.end), mark);
    else shown = insert(split(shown, mark.start, "a"), mark) ?? shown.concat([[mark, {}]]);
  }
  return shown;
}

/** The same for every token that is an element. */
function within(token: Shown, change: (children: Shown[]) => Shown[]): Shown {
  if (isText(token)) return token;
  const [tag, attributes, ...children] = token;
  return [tag, attributes, ...change(children)];
}

/** What is left of a word, in scripts that set spaces between words. */
const REST_OF_WORD =
  /(?<=[\p{Lu}\p{Ll}\p{sc=Arab}\p{sc=Hebr}\d])[\p{Lu}\p{Ll}\p{sc=Arab}\p{sc=Hebr}\d]+/uy;

/**
 * Cuts the text that holds an offset of the source in two, unless it is in an element to be kept whole. For a point,
 * which has such elements, behind the word that the offset is in: a number within a word hurts to read.
 */
function split(tokens: Shown[], offset: number, whole?: string): Shown[] {
  return tokens.flatMap((token) => {
    if (!isText(token))
      return [token[0] === whole ? token : within(token, (kids) => split(kids, offset, whole))];
    const { text, map } = token;
    let at = indexOf(token, offset);
    REST_OF_WORD.lastIndex = at;
    if (whole && REST_OF_WORD.test(text)) at = REST_OF_WORD.lastIndex;
    if (at <= 0 || at >= text.length) return [token];
    const rest = { text: "", map: [] };
    append(rest, text.slice(at), token, at, text.length);
    return [{ text: text.slice(0, at), map }, rest];
  });
}

function enclose(tokens: Shown[], mark: Mark): Shown[] {
  return tokens.map((token) => {
    const start = isText(token) ? (token.map[1] as number) : -1;
    return start >= mark.start && start < mark.end
      ? [mark, {}, token]
      : within(token, (kids) => enclose(kids, mark));
  });
}

/** Sets a point before the first text behind it, but never into a link, where it could not be used. */
function insert(tokens: Shown[], mark: Mark): Shown[] | null {
  for (const [i, token] of tokens.entries()) {
    let found: Shown[] | null = null;
    if (firstOffset(token) >= mark.start) found = [[mark, {}], token];
    else if (!isText(token) && token[0] !== "a") {
      const [tag, attributes, ...children] = token;
      const inside = insert(children, mark);
      found = inside && [[tag, attributes, ...inside]];
    }
    if (found) return [...tokens.slice(0, i), ...found, ...tokens.slice(i + 1)];
  }
  return null;
}

function firstOffset(token: Shown): number {
  let first = token;
  while (!isText(first)) {
    if (first.length < 3) return -1;
    first = first[2] as Shown;
  }
  return first.map[1] as number;
}
