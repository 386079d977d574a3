import type { ParleyError } from "../index.ts";
import { ar } from "./locales/ar.ts";
import { de } from "./locales/de.ts";
import { en, type Strings } from "./locales/en.ts";

export type { Strings };
export type Text = keyof Strings;
export type Translate = (text: Text, values?: Readonly<Record<string, string | number>>) => string;

const LOCALES: Readonly<Record<string, Strings>> = { en, de, ar };
const FROM_THE_RIGHT = new Set(["ar", "dv", "fa", "he", "ku", "ps", "sd", "ug", "ur", "yi"]);

/** The texts of a language, and how it is written. */
export interface Language {
  readonly locale: string;
  readonly direction: "ltr" | "rtl";
  readonly t: Translate;
}

/**
 * The texts for `wanted` (a BCP 47 tag), with the site's own before the shipped ones. A language that nobody brings
 * texts for is English, in English's direction.
 */
export function language(wanted: string, own?: Partial<Strings>): Language {
  const primary = wanted.toLowerCase().split("-")[0] ?? "";
  const known = primary in LOCALES || own !== undefined;
  const table: Strings = { ...en, ...LOCALES[primary], ...own };
  return {
    locale: known ? wanted : "en",
    direction: known && FROM_THE_RIGHT.has(primary) ? "rtl" : "ltr",
    t: (text, values) =>
      table[text].replace(/\{(\w+)\}/g, (hole, name: string) => `${values?.[name] ?? hole}`),
  };
}

const EXPLAINED: { readonly [code in ParleyError["code"]]?: Text } = {
  message_too_long: "tooLong",
  payload_too_large: "tooLong",
  context_too_long: "tooLong",
  rate_limited: "tooMany",
  quota_exceeded: "tooMany",
  forbidden: "blocked",
  unauthenticated: "blocked",
  not_found: "gone",
  content_blocked: "blocked",
  busy: "busy",
  overloaded: "busy",
  unavailable: "busy",
  provider_busy: "busy",
  offline: "offline",
  closed: "closed",
};

/**
 * An error in the reader's language, nothing where there is no more to say than that it is one; what the server wrote
 * is for the site's people and stays in `parley-error`.
 */
export function explain(code: ParleyError["code"] | undefined, t: Translate): string {
  const known = code && EXPLAINED[code];
  return known ? t(known) : "";
}
