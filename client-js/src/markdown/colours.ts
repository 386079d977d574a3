/**
 * Colours for complete code blocks. They are elements and no highlights of the document's: of those the browser looks
 * at every range again, and paints it anew, in each frame in which anything changes.
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

type Stretch = readonly [kind: Kind, start: number, end: number];

/** The stretches of a code that have a colour, in order. */
export function stretches(text: string, language: string): Stretch[] {
  const name = language.toLowerCase();
  if (/^(?:|te?xt|plain(?:text)?|markdown|md|diff|csv)$/.test(name)) return [];
  const parts = [commentOf(name), STRING, NUMBER, WORD]
    .map(({ source }) => `(${source})`)
    .join("|");
  const found: Stretch[] = [];
  for (const match of text.matchAll(new RegExp(parts, /sql/.test(name) ? "gi" : "g"))) {
    const kind = KINDS[match.slice(1).findIndex((part) => part !== undefined)] as Kind;
    found.push([kind, match.index, match.index + match[0].length]);
  }
  return found;
}

/** Puts each stretch of a code that has a colour into a `span` with a class like `parley-keyword`. */
export function colour(code: Element): void {
  const language = code.getAttribute("class")?.slice(9) ?? "";
  const texts: Text[] = [];
  collect(code, texts);
  const coloured = stretches(texts.map(({ data }) => data).join(""), language);
  let passed = 0;
  let next = 0;
  for (const text of texts) {
    const { data } = text;
    const parent = text.parentNode as Node;
    const document = code.ownerDocument;
    let at = 0;
    for (; next < coloured.length; next++) {
      const [kind, start, end] = coloured[next] as Stretch;
      const from = Math.max(start - passed, 0);
      const to = Math.min(end - passed, data.length);
      if (from >= to) break; // It begins in a later text.
      const span = document.createElement("span");
      span.setAttribute("class", `parley-${kind}`);
      span.textContent = data.slice(from, to);
      if (at < from) parent.insertBefore(document.createTextNode(data.slice(at, from)), text);
      parent.insertBefore(span, text);
      at = to;
      if (end - passed > to) break; // It goes on in the next one.
    }
    passed += data.length;
    if (at > 0) text.data = data.slice(at);
  }
}

/** The texts of the code itself: what a button in it says is no code. */
function collect(node: Node, texts: Text[]): void {
  for (let child = node.firstChild; child; child = child.nextSibling) {
    if (child.nodeType === 3) texts.push(child as Text);
    else if ((child as Element).localName !== "button") collect(child, texts);
  }
}
