/** Destinations of links: how Markdown writes them, and which of them a reader may follow. */

const NAMED: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  nbsp: "\u00a0",
  copy: "©",
  hellip: "…",
  mdash: "—",
  ndash: "–",
};

/** An escaped character or an entity. */
export const REFERENCE = /\\([!-/:-@[-`{-~])|&(?:#(\d{1,7})|#x([\da-f]{1,6})|(\w+));/giy;

/** The character that a match of `REFERENCE` means; nothing for an entity that is none of the handful we know. */
export function character([, escaped, decimal, hex, name]: readonly (string | undefined)[]):
  | string
  | undefined {
  if (escaped) return escaped;
  if (name) return Object.hasOwn(NAMED, name) ? NAMED[name] : undefined;
  const code = decimal ? Number(decimal) : Number.parseInt(hex as string, 16);
  return code > 0 && code < 0x110000 ? String.fromCodePoint(code).toWellFormed() : "\ufffd";
}

const REFERENCES = new RegExp(REFERENCE, "gi");

/** Text as Markdown means it where no markup is looked for: destinations, titles, languages of code. */
export function unescaped(text: string): string {
  return text.replace(REFERENCES, (...match: string[]) => character(match) ?? (match[0] as string));
}

/** A destination with everything percent-encoded that a URL cannot hold; what is encoded already stays. */
export function encode(url: string): string {
  return encodeURI(url.toWellFormed()).replace(/%25(?=[\da-f]{2})/gi, "%");
}

export function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

export interface Destination {
  readonly href: string;
  readonly title: string;
  readonly end: number;
}

/** `(<destination> "title")`. What stands bare may hold pairs of parentheses, two deep. */
const DESTINATION =
  /\([ \t\n]*(?:<((?:\\.|[^\\<>\n])*)>|(?!<)((?:\\\S|[^ \t\n\\()]|\((?:\\\S|[^ \t\n\\()]|\((?:\\\S|[^ \t\n\\()])*\))*\))*))(?:[ \t\n]+("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\((?:\\.|[^()\\])*\)))?[ \t\n]*\)/sy;

/** Reads the destination of a link at an index; null if that is not what stands there. */
export function destination(text: string, start: number): Destination | null {
  const match = matchAt(DESTINATION, text, start);
  return (
    match && {
      href: encode(unescaped(match[1] ?? (match[2] as string))),
      title: unescaped(match[3]?.slice(1, -1) ?? ""),
      end: DESTINATION.lastIndex,
    }
  );
}

/** A URL in running text, without the punctuation of its sentence; parentheses only in pairs. */
export const BARE_URL =
  /(?<![\p{L}\p{N}])(?:https?:\/\/(?=[\p{L}\p{N}])|www\.(?=[^\s./]+\.\w))(?:[^\s<[\]`()]|\([^\s<[\]`()]*\))+(?<![?!.,:;*_~'"”’»])/iuy;

/** A URL that may stand in `href`, in its normal form; null for any other scheme, relative ones, and hidden users. */
export function safeLink(href: string, schemes = /^(?:https?|mailto|tel):$/): string | null {
  // What is no visible ASCII, `encode` has encoded.
  if (/[^!-~]/.test(href) || !URL.canParse(href)) return null;
  const url = new URL(href);
  return schemes.test(url.protocol) && !url.username && !url.password ? url.href : null;
}
