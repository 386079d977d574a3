import { h, type Props } from "./dom.ts";
import type { Icon } from "./drawings.ts";

const drawn = new Map<Icon, SVGElement>();

export function icon(icon: Icon): Node {
  const [name, strokes] = icon;
  let svg = drawn.get(icon);
  if (!svg) {
    const space = "http://www.w3.org/2000/svg";
    svg = document.createElementNS(space, "svg");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    // Those that point along the line of reading turn round with it.
    if (name === "back" || name === "next") svg.setAttribute("class", "turns");
    const path = document.createElementNS(space, "path");
    path.setAttribute("d", strokes);
    svg.append(path);
    drawn.set(icon, svg);
  }
  return svg.cloneNode(true);
}

/** A button that shows an icon; `label` is its name and its tooltip. */
export function iconButton(
  drawing: Icon,
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
      "data-do": drawing[0],
      ...props,
      on: { click: press },
    },
    icon(drawing),
  );
}
