import { h } from "./dom.ts";
import * as drawings from "./drawings.ts";
import { iconButton } from "./icons.ts";
import type { Site } from "./site.ts";

/** What the header's buttons do. */
export interface HeaderEvents {
  list(opener: Element): void;
  renew(): void;
  readonly close: (() => void) | undefined;
}

/** The site's logo; only from its own place or as data, so that showing it tells nobody of the reader. */
function logo({ logo }: Site): HTMLElement | false {
  if (!logo || !URL.canParse(logo, document.baseURI)) return false;
  const { origin, protocol } = new URL(logo, document.baseURI);
  return (
    (origin === location.origin || protocol === "data:") &&
    h("img", { part: "logo", src: logo, alt: "" })
  );
}

export function header(site: Site, events: HeaderEvents): HTMLElement {
  const { t } = site.language;
  const { close } = events;
  const list = iconButton(drawings.list, t("conversations"), () => events.list(list));
  return h(
    "div",
    { part: "header" },
    h("slot", { name: "header" }, logo(site), h("h2", { part: "name", dir: "auto" }, site.name)),
    list,
    iconButton(drawings.add, t("new"), () => events.renew()),
    close && iconButton(drawings.close, t("close"), close),
  );
}

/** What stands where no message is yet. */
export function welcome(site: Site, ask: (text: string) => void): HTMLElement {
  const starters = site.starters.map((text) =>
    h(
      "button",
      { type: "button", part: "starter", dir: "auto", on: { click: () => ask(text) } },
      text,
    ),
  );
  return h(
    "div",
    { part: "empty" },
    h(
      "slot",
      { name: "empty" },
      h("p", { part: "greeting", dir: "auto" }, site.greeting),
      h("div", { class: "starters" }, ...starters),
    ),
  );
}
