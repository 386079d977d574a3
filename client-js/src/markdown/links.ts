/** Destinations of links: how Markdown writes them, and which of them a reader may follow. */

const NAMED: Readonly<Record<string, string>> = {
  amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", copy: "©", reg: "®", trade: "™", hellip: "…",
  mdash: "—", ndash: "–", lsquo: "‘", rsquo: "’", ldquo: "“", rdquo: "”", laquo: "«", raquo: "»", bull: "•",
  middot: "·", times: "×", deg: "°", euro: "€", larr: "←", rarr: "→", le: "≤", ge: "≥", ne: "≠",
};

export const ENTITY = /&(?:#(\d{1,7})|#x([\da-f]{1,6})|(\w{2,8}));/iy;

/** The character of an entity that `ENTITY` matched; nothing if it is none of the handful we know. */
export function entity(match: RegExpExecArray | string[]): string | undefined {
  const [, decimal, hex, name] = match;
  if (name) return Object.hasOwn(NAMED, name) ? NAMED[name] : undefined;
  const code = decimal ? Number(decimal) : Number.parseInt(hex as string, 16);
  const known = code > 0 && code < 0x110000 && (code < 0xd800 || code > 0xdfff);
  return String.fromCodePoint(known ? code : 0xfffd);
}

export const ESCAPABLE = /[!-/:-@[-`{-~]/;

/** Text as Markdown means it where no markup is looked for: destinations, titles, languages of code. */
export function unescape(text: string): string {
  return text.replace(/\\([!-/:-@[-`{-~])|&(?:#(\d{1,7})|#x([\da-f]{1,6})|(\w{2,8}));/gi, (all, char, ...entities) => {
    return char ?? entity([all, ...entities.slice(0, 3)]) ?? all;
  });
}

/** A destination with everything percent-encoded that a URL cannot hold; what is encoded already stays. */
export function encode(url: string): string {
  return encodeURI(url.toWellFormed()).replace(/%25(?=[\da-f]{2})/gi, "%");
}

export interface Destination {
  readonly href: string;
  readonly title: string;
  readonly end: number;
}

const ANGLED = /<((?:\\.|[^\\<>\n])*)>/y;
const TITLE = /\s+(?:"((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'|\(((?:\\.|[^()\\])*)\))/sy;
const SPACE = /\s*/y;

/** Reads `(destination "title")` at an index; null if that is not what stands there. */
export function destination(text: string, start: number): Destination | null {
  if (text[start] !== "(") return null;
  let at = after(SPACE, text, start + 1);
  let href = "";
  if (text[at] === "<") {
    const angled = matchAt(ANGLED, text, at);
    if (!angled) return null;
    href = angled[1] as string;
    at = ANGLED.lastIndex;
  } else {
    const from = at;
    at = bareEnd(text, at);
    if (at < 0) return null;
    href = text.slice(from, at);
  }
  const title = matchAt(TITLE, text, at);
  if (title) at = TITLE.lastIndex;
  at = after(SPACE, text, at);
  if (text[at] !== ")") return null;
  const said = title ? (title[1] ?? title[2] ?? title[3] ?? "") : "";
  return { href: encode(unescape(href)), title: unescape(said), end: at + 1 };
}

/** Where a destination without angles ends; -1 if its parentheses are not balanced or lie too deep. */
function bareEnd(text: string, start: number): number {
  let depth = 0;
  let at = start;
  for (; at < text.length; at++) {
    const char = text[at] as string;
    if (char === "\\" && ESCAPABLE.test(text[at + 1] ?? "")) at++;
    else if (char <= " ") break;
    else if (char === "(" && ++depth > 32) return -1;
    else if (char === ")" && --depth < 0) break;
  }
  return depth > 0 ? -1 : at;
}

export function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

function after(pattern: RegExp, text: string, at: number): number {
  matchAt(pattern, text, at);
  return pattern.lastIndex;
}

const URL_CHARACTERS = /(?:https?:\/\/|www\.)[^\s<[\]`]*/iy;

/** Where a URL ends that begins at an index of running text: without the punctuation of its sentence. */
export function bareUrlEnd(text: string, start: number): number {
  if (start > 0 && /[\p{L}\p{N}]$/u.test(text.slice(Math.max(0, start - 2), start))) return start;
  const url = (matchAt(URL_CHARACTERS, text, start) as RegExpExecArray)[0];
  let closers = url.split(")").length - url.split("(").length;
  let end = url.length;
  for (; end > 0; end--) {
    const char = url[end - 1] as string;
    if (char === ")" ? closers-- <= 0 : !/[?!.,:;*_~'"”’»]/.test(char)) break;
  }
  const valid = /^(?:https?:\/\/[\p{L}\p{N}]|www\.[^./]+\.[^./])/iu.test(url.slice(0, end));
  return valid ? start + end : start;
}

/** A URL that may stand in `href`, in its normal form; null for any other scheme, relative ones, and hidden users. */
export function safeLink(href: string, schemes = /^(?:https?|mailto|tel):$/): string | null {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/[\0-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff]/.test(href)) return null;
  try {
    const url = new URL(href);
    return schemes.test(url.protocol) && !url.username && !url.password ? url.href : null;
  } catch {
    return null;
  }
}
