/** Rows of GFM tables. */

import { type Attributes, place, type Text } from "./tree.ts";

const DASHES = /^\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

/** What the row of dashes under a table's head says of each column; null if a line is no such row. */
export function alignments(line: string): Attributes[] | null {
  if (!line.includes("|") || !DASHES.test(line)) return null;
  return cells(line, 0).map(({ text }): Attributes => {
    const left = text[0] === ":";
    if (text.endsWith(":")) return { align: left ? "center" : "right" };
    return left ? { align: "left" } : {};
  });
}

/** The cells of a row that stands at an offset of the source; `\|` is a bar in a cell. */
export function cells(line: string, offset: number): Text[] {
  const found: Text[] = [];
  const end = line.trimEnd().length;
  let from = line[0] === "|" ? 1 : 0;
  let cell: Text = { text: "", map: [] };
  const add = (to: number): void => {
    while (cell.text === "" && from < to && /\s/.test(line[from] as string)) from++;
    if (from === to) return;
    place(cell.map, cell.text.length, offset + from);
    cell.text += line.slice(from, to);
  };
  const finish = (): void => {
    cell.text = cell.text.trimEnd();
    found.push(cell);
    cell = { text: "", map: [] };
  };
  for (let at = from; at < end; at++) {
    if (line[at] === "\\" && line[at + 1] === "|") {
      add(at);
      from = ++at;
    } else if (line[at] === "|") {
      add(at);
      finish();
      from = at + 1;
    }
  }
  if (from < end) {
    add(end);
    finish();
  }
  return found;
}
