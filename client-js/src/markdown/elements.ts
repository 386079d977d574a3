/** Makes the elements of an answer: whatever the tokens say, only what is named here comes into the document. */

import { safeLink } from "./links.ts";
import type { Mark, Shown } from "./marks.ts";
import { type Attributes, beginsWith, isText } from "./tree.ts";

export interface MarkdownOptions {
  /** The level of a heading `#`; deeper ones follow, down to 6. 3 unless given, to fit below the page's own. */
  readonly heading?: number;
  /** Origins whose images are loaded without asking; none unless given. */
  readonly imageOrigins?: readonly string[];
  /** What takes the place of an image's button once it is pressed; an `img` unless given. */
  readonly image?: (url: string, alt: string) => Node;
  /** The words on an image's button. */
  readonly imageLabel?: (host: string, alt: string) => string;
  /** Told once of each code block that is complete; it may add to `pre`, beside the `code` in it. */
  readonly code?: (pre: HTMLElement, language: string, text: string) => void;
  /** Told of each complete code block, and again when the marks in it are others. */
  readonly colour?: (code: HTMLElement, language: string) => void;
}

const TAGS =
  /^(?:p|h[1-6r]|pre|[uo]l|li|blockquote|t(?:able|head|body|[rhd])|em|strong|del|code|a|br|span)$/;

type Wanted = Readonly<Record<string, string | undefined>>;

/** What an element of ours was made from: the patcher keeps it as long as the key stays. */
interface Origin {
  readonly key: string | Mark;
  attributes: Wanted;
}

const ORIGIN = Symbol("origin");

type Made = HTMLElement & { [ORIGIN]?: Origin };

/** The element for a tag at a place among its siblings: the one that is there, or a new one before it. */
export function elementAt(
  parent: Node,
  there: Node | null,
  tag: string | Mark,
  attributes: Attributes,
  options: MarkdownOptions,
): HTMLElement {
  const { src = "", alt = "" } = attributes;
  const key = typeof tag === "string" ? tag + src + alt : tag;
  let element = there as Made;
  let origin = element?.[ORIGIN];
  if (origin?.key !== key) {
    element =
      typeof tag !== "string"
        ? tag.make()
        : make(parent.ownerDocument as Document, tag, attributes, options);
    origin = { key, attributes: {} };
    element[ORIGIN] = origin;
    parent.insertBefore(element, there);
  }
  const wanted = typeof tag === "string" ? allowed(tag, attributes) : {};
  for (const name in { ...origin.attributes, ...wanted }) {
    const value = wanted[name];
    if (value === origin.attributes[name]) continue;
    if (value === undefined) element.removeAttribute(name);
    else element.setAttribute(name, value);
  }
  origin.attributes = wanted;
  return element;
}

/** Makes the children of an element equal to tokens; what is equal already stays the same node. */
export function patch(parent: Node, tokens: Shown[], options: MarkdownOptions): void {
  let there = parent.firstChild;
  for (const token of tokens) {
    let node: Node;
    if (isText(token)) node = textAt(parent, there, token.text);
    else {
      const [tag, attributes, ...children] = token;
      node = elementAt(parent, there, tag, attributes, options);
      // What an image or a point is made of is not ours to change.
      if (children.length > 0 || tag === "a") patch(node, children, options);
    }
    there = node.nextSibling;
  }
  trim(parent, there);
}

function textAt(parent: Node, there: Node | null, text: string): Node {
  if (there?.nodeType !== 3)
    return parent.insertBefore((parent.ownerDocument as Document).createTextNode(text), there);
  const node = there as CharacterData;
  const { data } = node;
  if (beginsWith(text, data)) {
    if (text !== data) node.appendData(text.slice(data.length));
    return node;
  }
  let same = 0;
  while (text[same] === data[same]) same++;
  node.replaceData(same, data.length - same, text.slice(same));
  return node;
}

function make(
  document: Document,
  tag: string,
  { src = "", alt = "" }: Attributes,
  options: MarkdownOptions,
): HTMLElement {
  if (tag === "img") return image(document, src, alt, options);
  const level = /^h([1-6])$/.exec(tag)?.[1];
  const name = level ? `h${Math.min(6, Number(level) + (options.heading ?? 3) - 1)}` : tag;
  return document.createElement(TAGS.test(name) ? name : "span");
}

/** An image is fetched from an origin that is trusted, else only once its button was pressed. */
function image(
  document: Document,
  src: string,
  alt: string,
  options: MarkdownOptions,
): HTMLElement {
  const holder = document.createElement("span");
  const url = safeLink(src, /^https?:$/);
  if (!url) {
    holder.textContent = alt;
    return holder;
  }
  const loaded = () =>
    set(document.createElement("img"), { alt, referrerpolicy: "no-referrer", src: url });
  const { host, origin } = new URL(url);
  const button = set(document.createElement("button"), { type: "button", title: url });
  button.textContent = options.imageLabel?.(host, alt) ?? `Show image: ${host}`;
  button.addEventListener("click", () => button.replaceWith(options.image?.(url, alt) ?? loaded()));
  holder.appendChild(options.imageOrigins?.includes(origin) ? loaded() : button);
  return holder;
}

function set(element: HTMLElement, attributes: Attributes): HTMLElement {
  for (const name in attributes) element.setAttribute(name, attributes[name] as string);
  return element;
}

/** Removes a node and all behind it. */
export function trim(parent: Node, from: Node | null): void {
  for (let node = from; node; ) {
    const next = node.nextSibling;
    parent.removeChild(node);
    node = next;
  }
}

/** The attributes that an element gets. */
function allowed(tag: string, { class: name, start, align, dir, href = "" }: Attributes): Wanted {
  const url = safeLink(href);
  // The whole URL is the title, since the text of a link may claim another.
  if (url && tag === "a")
    return { href: url, title: url, target: "_blank", rel: "noopener noreferrer nofollow" };
  return {
    class: tag === "img" ? "image" : name,
    start,
    align,
    dir: /^(?:pre|code)$/.test(tag) ? "ltr" : dir,
  };
}
