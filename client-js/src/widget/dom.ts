type Events = {
  readonly [K in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[K]) => void;
};

/** Attributes; `part` is also the element's class, `on` its listeners. False and undefined leave an attribute out. */
export interface Props {
  readonly [attribute: string]: string | boolean | undefined | Events;
  readonly on?: Events;
}

export type Child = Node | string | false | undefined;

/** Whether somebody points with a finger: then focus in a field brings up a keyboard over half the screen. */
export function byFinger(): boolean {
  return matchMedia("(pointer:coarse)").matches;
}

/** An element, built. Text goes in as text nodes only, so that nothing in it can become markup. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "object") {
      for (const [event, listener] of Object.entries(value))
        element.addEventListener(event, listener as EventListener);
    } else if (value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
      if (name === "part")
        element.className = element.className ? `${element.className} ${value}` : `${value}`;
    }
  }
  element.append(...children.filter((child) => child !== false && child !== undefined));
  return element;
}

/** Shows or hides without touching an element that is as wanted already. */
export function show(element: HTMLElement, shown: boolean): void {
  if (element.hidden === shown) element.hidden = !shown;
}

/** What has the focus in the shadow root that `node` is in. */
export function focusedBeside(node: Node): Element | null {
  return (node.getRootNode() as ShadowRoot).activeElement;
}

/** Keeps `parent`'s children equal to `wanted` and moves none that stands right: a moved one loses focus and selection. */
export function arrange(parent: Element, wanted: readonly Element[]): void {
  wanted.forEach((child, place) => {
    const there = parent.children[place];
    if (there !== child) parent.insertBefore(child, there ?? null);
  });
  while (parent.children.length > wanted.length) parent.lastElementChild?.remove();
}
