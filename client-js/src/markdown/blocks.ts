/**
 * Blocks, line by line. Every whole line is read once and for all; a last line that is not whole yet is read on trial
 * and taken back before more is read. So whatever a whole line has closed never changes again.
 */

import { Block, holds, isLeaf, isList, PLAIN, remembered, row } from "./block.ts";
import { matchAt, unescaped } from "./links.ts";
import { alignments, COLUMNS, cells, PADDING } from "./tables.ts";
import { offsetOf, place } from "./tree.ts";

/** Past this many open blocks the marks of quotes and lists are text. */
const DEPTH = 40;

/** Lines that begin past this offset are not read as Markdown any more. */
const LIMIT = 262_144;

/** A last line of nothing but marks says too little: `-` may become a heading, a list, a rule or a table. */
const UNDECIDED = /^[-+*_=#~`|:>.)\d\s]*(?:\[[ x]?\]?)?$/i;

/** Nobody is behind a blank line. */
const NEVER = Infinity;

export class Blocks {
  readonly root = new Block("");
  /** Up to where the source is read, a trial included. */
  end = 0;
  #stack = [this.root];
  #source = "";
  /** Offset of the first line that is not read for good. */
  #next = 0;
  #undo = (): void => {};
  /** After a blank line: how deep the innermost quote stood; what stands deeper in a list is set loosely. */
  #blank = NEVER;

  // The line that is being read: from where, and up to where.
  #at = 0;
  #lineEnd = 0;
  // The next character that is no space, and how many columns away.
  #mark = 0;
  #indent = 0;

  /** Reads on in a text that begins with what was read before; `whole`: nothing more will come. */
  read(text: string, whole: boolean): void {
    this.#undo();
    this.#undo = () => {};
    const source = whole && !text.endsWith("\n") ? `${text}\n` : text;
    this.#source = source;
    for (
      let end = source.indexOf("\n", this.#next);
      end >= 0;
      end = source.indexOf("\n", this.#next)
    ) {
      this.#line(this.#next, end);
      this.end = this.#next = end + 1;
    }
    if (whole) this.#stack.length = 1;
    const deepest = this.#stack.length - 1;
    for (const [i, block] of this.#stack.entries())
      block.settled = block.kids.length - (i < deepest ? 1 : 0);
    if (UNDECIDED.test(source.slice(this.#next))) return;
    const blank = this.#blank;
    const back = remembered(this.#stack);
    this.#undo = () => {
      this.#blank = blank;
      this.#stack = back();
    };
    this.end = source.length;
    this.#line(this.#next, this.end);
  }

  get #top(): Block {
    return this.#stack.at(-1) as Block;
  }

  #line(start: number, end: number): void {
    this.#at = start;
    this.#lineEnd = this.#source[end - 1] === "\r" ? end - 1 : end;
    if (start >= LIMIT) {
      this.#plain();
      return;
    }
    const depth = this.#continued();
    if (depth < 0) return;
    const opened = this.#open(depth);
    if (opened === null) this.#blank = NEVER;
    else this.#rest(opened);
  }

  /** Past the limit every line is shown as it is. */
  #plain(): void {
    if (this.#top.mark !== PLAIN)
      this.#begin(0, new Block("p", PLAIN)).attributes = { class: PLAIN };
    this.#append(this.#top, this.#at);
  }

  /** Finds the next character that is no space. */
  #look(): void {
    const at = this.#at;
    this.#indent = this.#skip(NEVER);
    this.#mark = this.#at;
    this.#at = at;
  }

  get #isBlank(): boolean {
    return this.#mark >= this.#lineEnd;
  }

  /** Goes past so many columns of spaces, as far as there are any; a tab counts as four. How many there were. */
  #skip(columns: number): number {
    let passed = 0;
    for (; this.#at < this.#lineEnd && passed < columns; this.#at++) {
      const char = this.#source[this.#at];
      if (char !== " " && char !== "\t") break;
      passed += char === " " ? 1 : 4;
    }
    return passed;
  }

  /** Goes past the mark of a quote. */
  #quote(): void {
    this.#at = this.#mark + 1;
    this.#skip(1);
  }

  /** How deep the open blocks go that this line continues; -1 if it belongs to open code and was read. */
  #continued(): number {
    let depth = 1;
    for (; depth < this.#stack.length; depth++) {
      const block = this.#stack[depth] as Block;
      this.#look();
      if (block.tag === "blockquote") {
        if (this.#indent > 3 || this.#source[this.#mark] !== ">" || this.#isBlank) break;
        this.#quote();
      } else if (block.tag === "li") {
        if (this.#isBlank ? block.kids.length === 0 : this.#indent < block.width) break;
        this.#skip(block.width);
      } else if (block.tag === "pre" && block.mark) {
        this.#fenced(block);
        return -1;
      } else if (block.tag === "pre") {
        if (this.#indent < 4 && !this.#isBlank) break;
        this.#skip(4);
      } else if (isLeaf(block) || /^t/.test(block.tag)) {
        if (this.#isBlank) break;
      }
    }
    return depth - 1;
  }

  #fenced(block: Block): void {
    this.#blank = NEVER;
    const rest = this.#source.slice(this.#mark, this.#lineEnd).trimEnd();
    const closes =
      this.#indent < 4 &&
      rest.startsWith(block.mark) &&
      rest === (rest[0] as string).repeat(rest.length);
    if (closes) {
      this.#stack.pop();
      return;
    }
    this.#skip(block.width);
    this.#append(block, this.#at);
  }

  /** Adds a line of text to a block. */
  #append(block: Block, from: number, to = this.#lineEnd): void {
    if (block.map.length > 0) block.text += "\n";
    place(block.map, block.text.length, from);
    block.text += this.#source.slice(from, to);
  }

  /** Closes what cannot hold a block and opens it. */
  #begin(depth: number, block: Block): Block {
    this.#stack.length = depth + 1;
    while (!holds(this.#top, block.tag)) this.#stack.pop();
    const parent = this.#top;
    if (this.#blank < this.#stack.length - 1 && parent.kids.length > 0) {
      const list = parent.tag === "li" ? this.#stack.at(-2) : parent;
      if (list && isList(list)) list.attributes = { ...list.attributes, class: "loose" };
    }
    parent.kids.push(block);
    this.#stack.push(block);
    return block;
  }

  /** Opens the blocks that begin in this line; how deep it then is, or null if the line was all read. */
  #open(continued: number): number | null {
    let depth = continued;
    for (;;) {
      this.#look();
      const container = this.#stack[depth] as Block;
      if (this.#isBlank || container.tag === "pre") return depth;
      const paragraph = container.tag === "p" ? container : null;
      if (this.#indent > 3) {
        if (this.#top.tag === "p" || /^t/.test(container.tag)) return depth;
        this.#skip(4);
        this.#begin(depth, new Block("pre"));
        return this.#stack.length - 1;
      }
      const rest = this.#source.slice(this.#mark, this.#lineEnd);
      if (
        this.#heading(depth, rest, paragraph) ||
        this.#fence(depth, rest) ||
        this.#table(depth, rest, paragraph)
      ) {
        return null;
      }
      if (/^([-*_])[ \t]*(?:\1[ \t]*){2,}$/.test(rest)) {
        this.#begin(depth, new Block("hr"));
        this.#stack.pop();
        return null;
      }
      if (this.#stack.length > DEPTH) return depth;
      if (rest[0] === ">") {
        this.#begin(depth, new Block("blockquote"));
        this.#quote();
      } else if (!this.#item(depth, rest, paragraph)) return depth;
      depth = this.#stack.length - 1;
    }
  }

  #heading(depth: number, rest: string, paragraph: Block | null): boolean {
    const underline = paragraph && /^(?:=+|-+)[ \t]*$/.test(rest);
    if (underline) {
      paragraph.tag = rest[0] === "=" ? "h1" : "h2";
      paragraph.text = paragraph.text.trimEnd();
      this.#stack.length = depth;
      return true;
    }
    const marks = /^#{1,6}(?=[ \t]|$)/.exec(rest)?.[0].length;
    if (!marks) return false;
    const text = rest
      .slice(marks)
      .trimEnd()
      .replace(/(?:^|\s)#+$/, "")
      .trimEnd();
    const from = this.#mark + marks + text.length - text.trimStart().length;
    const to = this.#mark + marks + text.length;
    const heading = this.#begin(depth, new Block(`h${marks}`));
    if (from < to) this.#append(heading, from, to);
    this.#stack.pop();
    return true;
  }

  #fence(depth: number, rest: string): boolean {
    const [, fence, words = ""] = /^(`{3,}(?=[^`]*$)|~{3,})(.*)/.exec(rest) ?? [];
    if (!fence) return false;
    const block = this.#begin(depth, new Block("pre", fence, this.#indent));
    const [language] = unescaped(words.trim()).split(/\s/);
    if (language) block.attributes = { class: `language-${language}` };
    return true;
  }

  #item(depth: number, rest: string, paragraph: Block | null): boolean {
    const found = /^(?:([-+*])|(\d{1,9})([.)]))(?=[ \t]|$)/.exec(rest);
    if (!found) return false;
    const [{ length }, bullet, number, delimiter] = found;
    const mark = (bullet ?? delimiter) as string;
    const empty = rest.slice(length).trim() === "";
    if (paragraph && (empty || (number && Number(number) !== 1))) return false;
    const indent = this.#indent;
    this.#at = this.#mark + length;
    this.#look();
    const spaces = empty || this.#indent > 4 ? 1 : this.#indent;
    this.#skip(spaces);
    const container = this.#stack[depth] as Block;
    const listed = isList(container) && container.mark === mark;
    if (!listed) {
      const list = this.#begin(depth, new Block(bullet ? "ul" : "ol", mark));
      list.attributes = {
        class: "tight",
        ...(number && Number(number) !== 1 && { start: `${Number(number)}` }),
      };
    }
    const parent = listed ? depth : this.#stack.length - 1;
    this.#begin(parent, new Block("li", "", indent + length + spaces));
    return true;
  }

  /** A paragraph's last line over a row of dashes is the head of a table. */
  #table(depth: number, rest: string, paragraph: Block | null): boolean {
    const aligns = paragraph && alignments(rest);
    if (!aligns) return false;
    const lineStart = paragraph.text.lastIndexOf("\n") + 1;
    const head = cells(paragraph.text.slice(lineStart), offsetOf(paragraph, lineStart));
    if (head.length !== aligns.length || head.length > COLUMNS) return false;
    let table = paragraph;
    if (lineStart > 0) {
      paragraph.text = paragraph.text.slice(0, lineStart - 1);
      table = this.#begin(depth, new Block("table", "", PADDING));
    } else Object.assign(table, { tag: "table", text: "", map: [], mark: "", width: PADDING });
    table.columns = aligns;
    const thead = new Block("thead");
    table.kids.push(thead);
    thead.kids.push(row("th", head, aligns));
    this.#begin(this.#stack.length - 1, new Block("tbody"));
    return true;
  }

  #row(): void {
    const table = this.#stack.at(-2) as Block;
    const found = cells(this.#source.slice(this.#mark, this.#lineEnd), this.#mark);
    const columns = table.columns.length;
    found.length = Math.min(found.length, columns);
    for (; found.length < columns && table.width > 0; table.width--)
      found.push({ text: "", map: [] });
    this.#top.kids.push(row("td", found, table.columns));
  }

  /** What is left of a line after the marks of blocks is text of the block at that depth. */
  #rest(depth: number): void {
    const blank = this.#isBlank;
    if (blank || this.#top.tag !== "p") this.#stack.length = depth + 1;
    const block = this.#top;
    if (block.tag === "pre") this.#append(block, this.#at);
    else if (block.tag === "p") this.#append(block, this.#mark);
    else if (!blank && /^t/.test(block.tag)) this.#row();
    else if (!blank) this.#paragraph(depth);
    // An item that begins without text is no blank line.
    const separates = blank && (block.tag !== "li" || block.kids.length > 0);
    this.#blank = separates ? this.#stack.map(({ tag }) => tag).lastIndexOf("blockquote") : NEVER;
  }

  #paragraph(depth: number): void {
    const paragraph = this.#begin(depth, new Block("p"));
    const parent = this.#stack.at(-2) as Block;
    const task =
      parent.tag === "li" && parent.kids.length === 1 && matchAt(TASK, this.#source, this.#mark);
    if (task && TASK.lastIndex < this.#lineEnd) {
      paragraph.mark = task[1] === " " ? "☐ " : "☑ ";
      this.#mark = TASK.lastIndex;
    }
    this.#append(paragraph, this.#mark);
  }
}

const TASK = /\[([ x])\][ \t]+/iy;
