import { h, type Props } from "./dom.ts";

/** Strokes on a grid of 24. */
const PATHS = {
  chat: "M21 12a8 8 0 0 1-8 8H4l1.8-3.2A8 8 0 1 1 21 12Z",
  close: "M6 6l12 12M18 6L6 18",
  add: "M12 5v14M5 12h14",
  list: "M4 7h16M4 12h16M4 17h10",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M7 7h10v10H7Z",
  copy: "M9 9h11v11H9ZM5 15H4V4h11v1",
  again: "M20 11a8 8 0 1 0-2.3 6.7M20 4v7h-7",
  edit: "M4 20l1-4L16.5 4.5l3 3L8 19l-4 1Z",
  up: "M7 11l4-8c1.7 0 2.6 1.2 2.3 2.8L12.7 9H18a2 2 0 0 1 2 2.3l-1.1 7a2 2 0 0 1-2 1.7H4v-9h3v9",
  down: "M7 13l4 8c1.7 0 2.6-1.2 2.3-2.8l-.6-3.2H18a2 2 0 0 0 2-2.3l-1.1-7a2 2 0 0 0-2-1.7H4v9h3V4",
  back: "M14 6l-6 6 6 6",
  next: "M10 6l6 6-6 6",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  latest: "M12 5v14M6 13l6 6 6-6",
  done: "M5 13l4 4L19 7",
  cut: "M3 3l18 18M8.5 15.5a5 5 0 0 1 7 0M5 12a10 10 0 0 1 5-2.7M19 12a10 10 0 0 0-5-2.7M12 19h.01",
} as const;

export type Icon = keyof typeof PATHS;

const drawn = new Map<Icon, SVGElement>();

export function icon(name: Icon): Node {
  let svg = drawn.get(name);
  if (!svg) {
    const space = "http://www.w3.org/2000/svg";
    svg = document.createElementNS(space, "svg");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    // Those that point along the line of reading turn round with it.
    if (name === "back" || name === "next") svg.setAttribute("class", "turns");
    const path = document.createElementNS(space, "path");
    path.setAttribute("d", PATHS[name]);
    svg.append(path);
    drawn.set(name, svg);
  }
  return svg.cloneNode(true);
}

/** A button that shows an icon; `label` is its name and its tooltip. */
export function iconButton(
  name: Icon,
  label: string,
  press: () => void,
  props: Props = {},
): HTMLButtonElement {
  return h(
    "button",
    {
      type: "button",
      class: "icon",
      "aria-label": label,
      title: label,
      "data-do": name,
      ...props,
      on: { click: press },
    },
    icon(name),
  );
}
