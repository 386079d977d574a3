/** The whole tokenizer as one pure function, and what the view shares with it. */

import { type Block, isLeaf, PLAIN } from "./block.ts";
import { Blocks } from "./blocks.ts";
import { inline } from "./inline.ts";
import type { Element, Token } from "./tree.ts";

/** The tokens in a leaf. `live`: more of its text may come. */
export function tokens(block: Block, live: boolean): Token[] {
  const { tag, map } = block;
  let { text } = block;
  if (tag === "hr") return [];
  if (tag === "pre") {
    if (!block.mark)
      text = text.slice(0, (text.indexOf("\n", text.trimEnd().length) + 1 || text.length + 1) - 1);
    if (!live && map.length > 0) text += "\n";
    return text ? [{ text, map }] : [];
  }
  if (block.mark === PLAIN) return [{ text, map }];
  text = text.trimEnd();
  // It may turn out to be the head of a table, and is not shown as text first.
  if (live && /^\|.*$/.test(text)) return [];
  const shown = inline({ text, map }, live);
  // The box stands for as many characters of `[x] `, right before the text.
  if (block.mark)
    shown.unshift([
      "span",
      { class: "task" },
      { text: block.mark, map: [0, (map[1] as number) - 2] },
    ]);
  return shown;
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
