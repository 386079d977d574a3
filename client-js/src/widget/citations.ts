import type { ChatMessage, Source } from "../index.ts";
import { encode, safeLink } from "../markdown/links.ts";
import { h, show } from "./dom.ts";
import type { Room } from "./room.ts";
import type { Language } from "./strings.ts";

/** A source under the number that readers see. */
export interface Numbered {
  readonly n: number;
  readonly source: Source;
}

/** Where in the answer's Markdown a number stands, and which. */
export interface Mark extends Numbered {
  readonly at: number;
}

/** The sources of an answer in the order in which it cites them, and the places; a passage has one number. */
export function numbered({
  citations = [],
  sources = [],
}: Pick<ChatMessage, "citations" | "sources">): {
  readonly list: readonly Numbered[];
  readonly marks: readonly Mark[];
} {
  const found = new Map<string, Numbered>();
  const number = (source: Source): Numbered => {
    const key = JSON.stringify([source.document, source.start, source.end]);
    const known = found.get(key) ?? { n: found.size + 1, source };
    found.set(key, known);
    return known;
  };
  const marks = citations.flatMap(({ end, sources }) =>
    sources.map((source) => ({ at: end, ...number(source) })),
  );
  for (const source of sources) number(source);
  return { list: [...found.values()], marks };
}

/** The number in the text; it opens its source. */
export function mark({ n, source }: Numbered, room: Room): HTMLElement {
  const label = room.language.t("cited", { n, title: source.title });
  return h(
    "button",
    {
      type: "button",
      part: "citation",
      "aria-label": label,
      title: source.title,
      on: { click: () => room.openSource(source, label) },
    },
    `${n}`,
  );
}

/** The sources below an answer. */
export function sourceList(list: readonly Numbered[], room: Room): HTMLElement {
  const { t } = room.language;
  const chip = ({ n, source }: Numbered): HTMLElement => {
    const open = (): void => room.openSource(source, t("cited", { n, title: source.title }));
    const named = [h("span", { class: "number" }, `${n}`), " ", h("bdi", {}, source.title)];
    return h(
      "li",
      {},
      h("button", { type: "button", "data-do": `source ${n}`, on: { click: open } }, ...named),
    );
  };
  return h("ol", { part: "sources", "aria-label": t("sources") }, ...list.map(chip));
}

/** Where a source may be visited: only over http, whatever the document's author wrote. */
export function address(url: string | undefined): string | undefined {
  return (url && safeLink(encode(url), /^https?:$/)) || undefined;
}

/** A source opened: the cited passage itself where the server still has it, else the snippet, and a word about it. */
export function passage(
  source: Source,
  read: (path: string) => Promise<unknown>,
  { t }: Language,
): HTMLElement {
  const { document, start, end } = source;
  const ranged = start !== undefined && end !== undefined;
  const excerpt = h("p", { class: "faint", hidden: ranged }, t("excerpt"));
  const quote = h("blockquote", { dir: "auto" }, source.snippet ?? "");
  if (ranged) {
    read(`documents/${encodeURIComponent(document)}/content?start=${start}&end=${end}`).then(
      (content) => {
        quote.textContent = (content as { text: string }).text;
      },
      // The snippet stays: the document is gone, or not for this reader.
      () => show(excerpt, true),
    );
  }
  const link = address(source.url);
  return h(
    "div",
    { part: "source" },
    quote,
    excerpt,
    link !== undefined &&
      h(
        "a",
        { href: link, target: "_blank", rel: "noopener noreferrer nofollow", dir: "ltr" },
        link,
      ),
  );
}
