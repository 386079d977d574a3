/** Streaming Markdown: a pure tokenizer, and a view that shows a growing text safely. */

export type { MarkdownOptions } from "./elements.ts";
export { safeLink } from "./links.ts";
export { parse } from "./parse.ts";
export type { Attributes, Element, Text, Token } from "./tree.ts";
export { MarkdownView } from "./view.ts";
