/**
 * As much of a DOM as the Markdown view uses, and a journal of what it made. To extend it: add the member as the
 * DOM standard has it; never add what only a test would call, except to `FakeDocument`.
 */

export class FakeNode {
  readonly nodeType: number = 0;
  readonly ownerDocument: FakeDocument;
  parentNode: FakeNode | null = null;
  firstChild: FakeNode | null = null;
  lastChild: FakeNode | null = null;
  previousSibling: FakeNode | null = null;
  nextSibling: FakeNode | null = null;

  constructor(document: FakeDocument) {
    this.ownerDocument = document;
  }

  get childNodes(): FakeNode[] {
    const nodes: FakeNode[] = [];
    for (let node = this.firstChild; node; node = node.nextSibling) nodes.push(node);
    return nodes;
  }

  get textContent(): string {
    return this.childNodes.map((node) => node.textContent).join("");
  }

  set textContent(text: string) {
    this.replaceChildren(this.ownerDocument.createTextNode(text));
  }

  insertBefore(node: FakeNode, before: FakeNode | null): FakeNode {
    node.parentNode?.removeChild(node);
    const previous = before ? before.previousSibling : this.lastChild;
    node.parentNode = this;
    node.previousSibling = previous;
    node.nextSibling = before;
    if (previous) previous.nextSibling = node;
    else this.firstChild = node;
    if (before) before.previousSibling = node;
    else this.lastChild = node;
    return node;
  }

  appendChild(node: FakeNode): FakeNode {
    return this.insertBefore(node, null);
  }

  append(...nodes: FakeNode[]): void {
    for (const node of nodes) this.appendChild(node);
  }

  removeChild(node: FakeNode): FakeNode {
    if (node.parentNode !== this)
      throw new Error("NotFoundError: the node is no child of this one");
    if (node.previousSibling) node.previousSibling.nextSibling = node.nextSibling;
    else this.firstChild = node.nextSibling;
    if (node.nextSibling) node.nextSibling.previousSibling = node.previousSibling;
    else this.lastChild = node.previousSibling;
    node.parentNode = node.previousSibling = node.nextSibling = null;
    return node;
  }

  replaceChild(node: FakeNode, old: FakeNode): FakeNode {
    this.insertBefore(node, old);
    return this.removeChild(old);
  }

  replaceChildren(...nodes: FakeNode[]): void {
    while (this.firstChild) this.removeChild(this.firstChild);
    this.append(...nodes);
  }

  replaceWith(node: FakeNode): void {
    this.parentNode?.replaceChild(node, this);
  }
}

export class FakeText extends FakeNode {
  override readonly nodeType = 3;
  data: string;

  constructor(document: FakeDocument, data: string) {
    super(document);
    this.data = data;
  }

  override get textContent(): string {
    return this.data;
  }

  get length(): number {
    return this.data.length;
  }

  appendData(data: string): void {
    this.ownerDocument.appended += data.length;
    this.data += data;
  }

  replaceData(offset: number, count: number, data: string): void {
    this.ownerDocument.replaced += 1;
    this.data = this.data.slice(0, offset) + data + this.data.slice(offset + count);
  }
}

export class FakeElement extends FakeNode {
  override readonly nodeType = 1;
  readonly localName: string;
  readonly attributes = new Map<string, string>();
  readonly #listeners: (() => void)[] = [];

  constructor(document: FakeDocument, name: string) {
    super(document);
    this.localName = name;
  }

  setAttribute(name: string, value: string): void {
    this.attributes.set(name, value);
  }

  getAttribute(name: string): string | null {
    return this.attributes.get(name) ?? null;
  }

  removeAttribute(name: string): void {
    this.attributes.delete(name);
  }

  addEventListener(_type: "click", listener: () => void): void {
    this.#listeners.push(listener);
  }

  click(): void {
    for (const listener of this.#listeners) listener();
  }
}

export class FakeDocument {
  /** How many nodes were made, characters appended to texts, and texts changed in any other way. */
  made = 0;
  appended = 0;
  replaced = 0;

  createElement(name: string): FakeElement {
    this.made++;
    return new FakeElement(this, name);
  }

  createTextNode(data: string): FakeText {
    this.made++;
    return new FakeText(this, data);
  }
}

/** An empty element of a document of its own, as the view wants it. */
export function host(): { readonly root: HTMLElement; readonly fake: FakeElement } {
  const fake = new FakeDocument().createElement("div");
  return { root: fake as unknown as HTMLElement, fake };
}

export const isElement = (node: FakeNode): node is FakeElement => node instanceof FakeElement;

/** All elements below a node, in order. */
export function elements(node: FakeNode): FakeElement[] {
  return node.childNodes.flatMap((child) => (isElement(child) ? [child, ...elements(child)] : []));
}

/** A node as one line of markup, with every text node in its own quotes; equal lines are equal trees. */
export function outline(node: FakeNode): string {
  if (!isElement(node)) return JSON.stringify((node as FakeText).data);
  const attributes = [...node.attributes]
    .sort()
    .map(([name, value]) => ` ${name}=${JSON.stringify(value)}`);
  return `<${node.localName}${attributes.join("")}>${node.childNodes.map(outline).join("")}</>`;
}
