import { en, type Strings } from "./locales/en.ts";
import { here } from "./parts.ts";

export type { Strings };
export type Text = keyof Strings;
export type Translate = (text: Text, values?: Readonly<Record<string, string | number>>) => string;

/** The languages beside English that the chat brings, each as a part of its own. */
const BROUGHT = ["de", "ar"] as const;
const FROM_THE_RIGHT = new Set(["ar", "dv", "fa", "he", "ku", "ps", "sd", "ug", "ur", "yi"]);

/** The texts of a language, and how it is written. */
export interface Language {
  readonly locale: string;
  readonly direction: "ltr" | "rtl";
  readonly t: Translate;
}

/** The part that holds the texts for `wanted`, where there is one. */
export function localeOf(wanted: string): (typeof BROUGHT)[number] | undefined {
  return BROUGHT.find((one) => one === primaryOf(wanted));
}

/**
 * The texts for `wanted` (a BCP 47 tag), with the site's own before the shipped ones. A language that nobody brings
 * texts for, or whose texts are not there, is English, in English's direction.
 */
export function language(wanted: string, own?: Partial<Strings>): Language {
  const primary = primaryOf(wanted);
  const shipped = textsOf(localeOf(wanted));
  const known = primary === "en" || shipped !== undefined || own !== undefined;
  const table: Strings = { ...en, ...shipped, ...own };
  return {
    locale: known ? tagOf(wanted) : "en",
    direction: known && FROM_THE_RIGHT.has(primary) ? "rtl" : "ltr",
    t: (text, values) =>
      table[text].replace(/\{(\w+)\}/g, (hole, name: string) => `${values?.[name] ?? hole}`),
  };
}

function textsOf(part: ReturnType<typeof localeOf>): Strings | undefined {
  return part && here(part)?.texts;
}

/** A tag that `Intl` bears: it throws at `de_DE`, which many a server's page has for its language. */
function tagOf(wanted: string): string {
  try {
    return Intl.getCanonicalLocales(wanted.trim().replaceAll("_", "-"))[0] ?? "en";
  } catch {
    return primaryOf(wanted);
  }
}

function primaryOf(wanted: string): string {
  return /^[a-z]+/.exec(wanted.trim().toLowerCase())?.[0] ?? "";
}
