/**
 * Colours for complete code blocks by the CSS Custom Highlight API: no element is added, a style sheet says
 * `::highlight(parley-keyword) { color: … }`. A browser without the API shows no colours.
 */

export type Kind = "comment" | "string" | "number" | "keyword";

const STRING = /"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?|`(?:\\.|[^`\\])*`?/;
const NUMBER = /\b(?:0[xbo][\da-f_]+|\d[\d_]*(?:\.\d+)?(?:e[+-]?\d+)?)\b/;
const KEYWORDS =
  "and as async await break case catch class const continue def default del do elif else enum except export extends false finally fn for from func function if impl import in interface is lambda let match mut new nil none not null or pass private pub public raise return select self static struct super switch then this throw true try type use var void while with yield where";
const WORD = new RegExp(`\\b(?:${KEYWORDS.replaceAll(" ", "|")})\\b`);

/** How a language's comments begin; what is not named here is taken for C's kin. */
function commentOf(name: string): RegExp {
  if (/^(?:py|python|(?:ba|z)?sh|shell|rb|ruby|ya?ml|toml|r|perl|dockerfile|make)$/.test(name))
    return /#.*/;
  if (/^(?:sql|lua|haskell)$/.test(name)) return /--.*/;
  return /\/\/.*|\/\*[\s\S]*?(?:\*\/|$)/;
}

const KINDS: readonly Kind[] = ["comment", "string", "number", "keyword"];

/** The stretches of a code that have a colour, in order. */
export function stretches(
  text: string,
  language: string,
): [kind: Kind, start: number, end: number][] {
  const name = language.toLowerCase();
  if (/^(?:|te?xt|plain(?:text)?|markdown|md|diff|csv)$/.test(name)) return [];
  const parts = [commentOf(name), STRING, NUMBER, WORD]
    .map(({ source }) => `(${source})`)
    .join("|");
  const found: [Kind, number, number][] = [];
  for (const match of text.matchAll(new RegExp(parts, /sql/.test(name) ? "gi" : "g"))) {
    const kind = KINDS[match.slice(1).findIndex((part) => part !== undefined)] as Kind;
    found.push([kind, match.index, match.index + match[0].length]);
  }
  return found;
}

/** The ranges of each coloured code, to take them back: a highlight keeps the nodes of its ranges alive. */
const coloured = new WeakMap<Element, [Highlight, AbstractRange][]>();

/** Colours a code, or does so anew after its texts were cut. */
export function colour(code: Element, language: string): void {
  uncolour(code);
  if (typeof Highlight === "undefined") return;
  const texts: Text[] = [];
  collect(code, texts);
  const ranges: [Highlight, AbstractRange][] = [];
  let at = 0;
  let passed = 0;
  for (const [kind, start, end] of stretches(code.textContent ?? "", language)) {
    const highlight = highlightOf(kind);
    for (; at < texts.length; passed += (texts[at++] as Text).length) {
      const text = texts[at] as Text;
      const from = Math.max(0, start - passed);
      const to = Math.min(text.length, end - passed);
      if (from < to) {
        const range = new StaticRange({
          startContainer: text,
          startOffset: from,
          endContainer: text,
          endOffset: to,
        });
        highlight.add(range);
        ranges.push([highlight, range]);
      }
      if (end - passed <= text.length) break;
    }
  }
  coloured.set(code, ranges);
}

/** Takes back the colours of a code that is removed. */
export function uncolour(code: Element): void {
  for (const [highlight, range] of coloured.get(code) ?? []) highlight.delete(range);
  coloured.delete(code);
}

function highlightOf(kind: Kind): Highlight {
  const name = `parley-${kind}`;
  const known = CSS.highlights.get(name) ?? new Highlight();
  CSS.highlights.set(name, known);
  return known;
}

function collect(node: Node, texts: Text[]): void {
  for (let child = node.firstChild; child; child = child.nextSibling) {
    if (child.nodeType === 3) texts.push(child as Text);
    else collect(child, texts);
  }
}
