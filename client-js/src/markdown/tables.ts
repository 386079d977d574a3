/** Rows of GFM tables. */

import { type Attributes, append, type Text } from "./tree.ts";

/** Wider tables are text; so short rows cannot blow up into many cells. */
export const COLUMNS = 64;

/** Empty cells that a table may add to short rows. */
export const PADDING = 1000;

/** What the row of dashes under a table's head says of each column; null if a line is no such row. */
export function alignments(line: string): Attributes[] | null {
  const columns = line.includes("|") ? cells(line, 0) : [];
  if (!columns[0] || columns.some(({ text }) => !/^:?-+:?$/.test(text))) return null;
  return columns.map(({ text }): Attributes => {
    const left = text[0] === ":";
    if (text.endsWith(":")) return { align: left ? "center" : "right" };
    return left ? { align: "left" } : {};
  });
}

/** The cells of a row that stands at an offset of the source; `\\|` is a bar in a cell. */
export function cells(line: string, offset: number): Text[] {
  const source: Text = { text: line, map: [0, offset] };
  const found: Text[] = [];
  let cell: Text = { text: "", map: [] };
  for (const { 0: part, index } of line.trimEnd().matchAll(/\\\||\||(?:[^|\\]|\\(?!\|))+/g)) {
    const end = index + part.length;
    const shown = part === "\\|" ? "|" : cell.text ? part : part.trimStart();
    if (part !== "|") append(cell, shown, source, end - shown.length, end);
    else if (index > 0) {
      found.push(cell);
      cell = { text: "", map: [] };
    }
  }
  if (cell.text) found.push(cell);
  for (const cell of found) cell.text = cell.text.trimEnd();
  return found;
}
