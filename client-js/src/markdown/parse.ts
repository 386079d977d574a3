/** The whole tokenizer as one pure function, and what the view shares with it. */

import { type Block, Blocks, isLeaf } from "./blocks.ts";
import { inline } from "./inline.ts";
import type { Element, Token } from "./tree.ts";

/** The tokens in a leaf. `live`: more of its text may come. */
export function tokens(block: Block, live: boolean): Token[] {
  const { tag, map } = block;
  let { text } = block;
  if (tag === "hr") return [];
  if (tag === "pre") {
    if (!block.mark) text = text.slice(0, (text.indexOf("\n", text.trimEnd().length) + 1 || text.length + 1) - 1);
    if (!live && map.length > 0) text += "\n";
    return text ? [{ text, map }] : [];
  }
  text = text.trimEnd();
  // It may turn out to be the head of a table, and is not shown as text first.
  if (live && /^\|.*$/.test(text)) return [];
  const box: Token[] = block.mark ? [["input", { type: "checkbox", ...(block.mark !== " " && { checked: "" }) }]] : [];
  return box.concat(inline({ text, map }, live));
}

/** The blocks of a Markdown source. */
export function parse(source: string): Element[] {
  const blocks = new Blocks();
  blocks.read(source, true);
  return blocks.root.kids.map(element);
}

function element(block: Block): Element {
  const { tag, attributes } = block;
  if (tag === "pre") return [tag, {}, ["code", attributes, ...tokens(block, false)]];
  return [tag, attributes, ...(isLeaf(block) ? tokens(block, false) : block.kids.map(element))];
}
