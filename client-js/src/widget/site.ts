import type { Language } from "./strings.ts";

/** What a site sets. */
export interface Site {
  readonly language: Language;
  readonly name: string;
  readonly greeting: string;
  readonly starters: readonly string[];
  readonly placeholder: string;
  readonly logo: string | undefined;
  readonly imageOrigins: readonly string[];
}

/** The attributes that it is set with. */
export const SITES = [
  "name",
  "greeting",
  "starters",
  "logo",
  "placeholder",
  "image-origins",
  "locale",
  "lang",
  "inline",
];

export function siteOf(element: Element, language: Language, starters: readonly string[]): Site {
  const attribute = (name: string): string | undefined => element.getAttribute(name) ?? undefined;
  return {
    language,
    name: attribute("name") ?? language.t("title"),
    greeting: attribute("greeting") ?? language.t("greeting"),
    starters,
    placeholder: attribute("placeholder") ?? language.t("placeholder"),
    logo: attribute("logo"),
    imageOrigins: originsIn(attribute("image-origins") ?? ""),
  };
}

/** Origins as browsers write them, of whatever addresses a page names; what is none is left out. */
function originsIn(text: string): readonly string[] {
  return text.split(/\s+/).flatMap((one) => (URL.canParse(one) ? [new URL(one).origin] : []));
}
