/** A block of a document while it is read and when it is settled. */

import type { Attributes, Text } from "./tree.ts";

/** The mark of text past the limit, which is no Markdown. */
export const PLAIN = "plain";

// Shared, since a long table makes very many blocks.
const NONE: Attributes = {};
const NO_COLUMNS: readonly Attributes[] = [];

export class Block implements Text {
  tag: string;
  attributes: Attributes = NONE;
  readonly kids: Block[] = [];
  /** Of a paragraph, heading, cell or code block: its characters without the marks of what it stands in. */
  text = "";
  map: number[] = [];
  /** Of a list its bullet, of code its fence, of a paragraph the box of a task. */
  mark: string;
  /** How many columns the lines of an item or of fenced code are indented; of a table how many empty cells it has. */
  width: number;
  /** Of a table what the cells of each column have. */
  columns: readonly Attributes[] = NO_COLUMNS;
  /** How many kids are closed for good. */
  settled = 0;
  /** What a view notes of it: up to which kid it is shown for good, and the node of that kid. */
  readonly shown: { kids: number; last: Node | null } = { kids: 0, last: null };

  constructor(tag: string, mark = "", width = 0) {
    this.tag = tag;
    this.mark = mark;
    this.width = width;
  }
}

/** Blocks that hold text, not blocks. */
export const isLeaf = ({ tag }: Block): boolean => /^(?:p|h\d|hr|pre|t[hd])$/.test(tag);

export const isList = ({ tag }: Block): boolean => /^[uo]l$/.test(tag);

export function holds(parent: Block, tag: string): boolean {
  if (isList(parent)) return tag === "li";
  if (/^t/.test(parent.tag)) return tag === "tbody";
  return !isLeaf(parent);
}

/** Remembers open blocks as they are: what it gives brings them back. Their lists only ever grow. */
export function remembered(stack: readonly Block[]): () => Block[] {
  const all = stack.map((block) => ({
    block,
    fields: { ...block },
    kids: block.kids.length,
    map: block.map.length,
  }));
  return () =>
    all.map(({ block, fields, kids, map }) => {
      Object.assign(block, fields);
      block.kids.length = kids;
      block.map.length = map;
      return block;
    });
}

/** A row of a table, with as many cells as were found. */
export function row(tag: string, found: Text[], columns: readonly Attributes[]): Block {
  const block = new Block("tr");
  block.kids.push(
    ...found.map((cell, i) => Object.assign(new Block(tag), cell, { attributes: columns[i] })),
  );
  return block;
}
