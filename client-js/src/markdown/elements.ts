/** Makes the elements of an answer: whatever the tokens say, only what is named here comes into the document. */

import { safeLink } from "./links.ts";
import type { Mark, Shown } from "./marks.ts";
import { type Attributes, isText, type Text, type Token } from "./tree.ts";

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
  /** Told of each complete code block, and again when a mark was set into it. */
  readonly colour?: (code: HTMLElement, language: string) => void;
}

const TAGS = new Set(
  "p h1 h2 h3 h4 h5 h6 hr pre ul ol li blockquote table thead tbody tr th td em strong del code a br".split(" "),
);

/** What an element of ours was made from: the patcher keeps it as long as this stays. */
interface Origin {
  readonly key: string | Mark;
  attributes: Attributes;
}

const origins = new WeakMap<Node, Origin>();

export class Elements {
  readonly #document: Document;
  readonly #options: MarkdownOptions;

  constructor(document: Document, options: MarkdownOptions) {
    this.#document = document;
    this.#options = options;
  }

  /** The element for a tag at a place among its siblings: the one that is there, or a new one in its stead. */
  at(parent: Node, there: Node | null, tag: string | Mark, attributes: Attributes): HTMLElement {
    const key = tag === "img" ? `img ${attributes["src"]} ${attributes["alt"]}` : tag;
    const known = there && origins.get(there);
    let element = there as HTMLElement;
    let origin = known;
    if (!origin || origin.key !== key) {
      element = this.#make(tag, attributes);
      origin = { key, attributes: {} };
      origins.set(element, origin);
      if (there) parent.replaceChild(element, there);
      else parent.appendChild(element);
    }
    if (typeof tag === "string") {
      const wanted = allowed(tag, attributes);
      for (const name in origin.attributes) if (!(name in wanted)) element.removeAttribute(name);
      for (const name in wanted) {
        const value = wanted[name] as string;
        if (origin.attributes[name] !== value) element.setAttribute(name, value);
      }
      origin.attributes = wanted;
    }
    return element;
  }

  /** Makes the children of an element equal to tokens; what is equal already stays the same node. */
  patch(parent: Node, tokens: Shown[]): void {
    let there = parent.firstChild;
    for (const token of tokens) {
      let node: Node;
      if (isText(token as Token)) node = this.#text(parent, there, (token as Text).text);
      else {
        const [tag, attributes, ...children] = token as Exclude<Shown, Text>;
        node = this.at(parent, there, tag, attributes);
        if (children.length > 0 || tag === "a") this.patch(node, children);
      }
      there = node.nextSibling;
    }
    trim(parent, there);
  }

  #text(parent: Node, there: Node | null, text: string): Node {
    if (there?.nodeType !== 3) {
      const node = this.#document.createTextNode(text);
      if (there) parent.replaceChild(node, there);
      else parent.appendChild(node);
      return node;
    }
    const node = there as CharacterData;
    const { data } = node;
    if (text.startsWith(data)) {
      if (text.length > data.length) node.appendData(text.slice(data.length));
    } else {
      let same = 0;
      while (same < text.length && text[same] === data[same]) same++;
      node.replaceData(same, data.length - same, text.slice(same));
    }
    return node;
  }

  #make(tag: string | Mark, attributes: Attributes): HTMLElement {
    if (typeof tag !== "string") return tag.make();
    if (tag === "img") return this.#image(attributes["src"] as string, attributes["alt"] as string);
    if (tag === "input") {
      const box = this.#document.createElement("span");
      box.textContent = "checked" in attributes ? "☑ " : "☐ ";
      return box;
    }
    const level = /^h([1-6])$/.exec(tag);
    const named = level ? `h${Math.min(6, Number(level[1]) + (this.#options.heading ?? 3) - 1)}` : tag;
    return this.#document.createElement(TAGS.has(named) ? named : "span");
  }

  /** An image is fetched from an origin that is trusted, else only once its button was pressed. */
  #image(src: string, alt: string): HTMLElement {
    const { image, imageLabel = (host: string) => `Show image: ${host}`, imageOrigins = [] } = this.#options;
    const holder = this.#document.createElement("span");
    const url = safeLink(src, /^https?:$/);
    if (!url) {
      holder.textContent = alt;
      return holder;
    }
    const { host, origin } = new URL(url);
    if (imageOrigins.includes(origin)) holder.append(this.#loaded(url, alt));
    else {
      const button = this.#document.createElement("button");
      button.setAttribute("type", "button");
      button.setAttribute("title", url);
      button.textContent = imageLabel(host, alt);
      button.addEventListener("click", () => button.replaceWith(image?.(url, alt) ?? this.#loaded(url, alt)));
      holder.append(button);
    }
    return holder;
  }

  #loaded(url: string, alt: string): HTMLElement {
    const image = this.#document.createElement("img");
    image.setAttribute("alt", alt);
    image.setAttribute("referrerpolicy", "no-referrer");
    image.setAttribute("src", url);
    return image;
  }
}

/** Removes a node and all behind it. */
export function trim(parent: Node, from: Node | null): void {
  for (let node = from; node; ) {
    const next = node.nextSibling;
    parent.removeChild(node);
    node = next;
  }
}

function allowed(tag: string, attributes: Attributes): Attributes {
  const { class: name, start, align, dir, href } = attributes;
  if (tag === "a") {
    const url = href ? safeLink(href) : null;
    // The whole URL is the title, since the text of a link may claim another.
    return url ? { href: url, title: url, target: "_blank", rel: "noopener noreferrer nofollow" } : {};
  }
  if (tag === "img") return { class: "image" };
  if (tag === "input") return { class: "task" };
  return {
    ...(name && { class: name }),
    ...(start && { start }),
    ...(align && { align }),
    ...(/^(?:pre|code)$/.test(tag) ? { dir: "ltr" } : dir && { dir }),
  };
}
