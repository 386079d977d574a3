/** Twice the input takes at most 2.5 times as long: hostile inputs cost what their length says, no more. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { MarkdownView } from "../src/markdown/index.ts";
import { host } from "./fakeDom.ts";

const repeated =
  (piece: string) =>
  (size: number): string =>
    piece.repeat(Math.ceil(size / piece.length));

const WORST: Readonly<Record<string, (size: number) => string>> = {
  "a run of stars": repeated("*"),
  "stars with words": repeated("*a **b "),
  "closers without openers": repeated("a** "),
  "underscores and stars": repeated("*_a"),
  "a run of brackets": repeated("["),
  "images in images": repeated("![["),
  "links in links": repeated("[a](b"),
  "links with titles": repeated('[a](b "'),
  "many links in one bracket": (size) => "[".repeat(size / 4) + repeated("[a](b)")((size * 3) / 4),
  "closing brackets": repeated("a]("),
  "runs of backticks": (size) =>
    Array.from({ length: Math.sqrt(size * 2) }, (_, i) => `${"`".repeat(i)} `).join(""),
  "many code spans": repeated("`a` "),
  "open angles": repeated("<a:"),
  "nested quotes": repeated("> > > > a\n"),
  "a quote in a quote in a quote": repeated(">"),
  "one quote with many lines": repeated("> a\n"),
  "a table": (size) => `|a|b|\n|-|-|\n${repeated("|x|y|\n")(size)}`,
  "a table of short rows": (size) =>
    `${"|a".repeat(60)}\n${"|-".repeat(60)}\n${repeated("|\n")(size)}`,
  "a wide table": (size) => `${"|a".repeat(size / 4)}\n${"|-".repeat(size / 4)}\n`,
  tildes: repeated("~~a~"),
  "deep lists": (size) =>
    Array.from({ length: Math.sqrt(size) }, (_, i) => `${" ".repeat(2 * i)}- a\n`).join(""),
  "a long list": repeated("- a\n"),
  "a loose list": repeated("- a\n\n"),
  "many empty items": repeated("-\n"),
  "one long line": repeated("word "),
  "spaces in a line": (size) => `a${" ".repeat(size)}b`,
  "spaces in a heading": (size) => `# a${" ".repeat(size)}b`,
  "number signs": (size) => `# ${"#".repeat(size)}b`,
  dashes: (size) => `a\n${"- ".repeat(size / 2)}b`,
  entities: repeated("&a&#"),
  "bare URLs": repeated("https://a.b/c) "),
  "one URL with parentheses": (size) => `https://a.b/${"(".repeat(size)}`,
  "a URL with stops": (size) => `https://a.b/${".".repeat(size)}`,
  backslashes: repeated("\\"),
  "blank lines in code": (size) => `    a${"\n".repeat(size)}    b`,
};

/** The least time of a few runs, in milliseconds of the processor: others on the machine do not count. */
function cost(source: string): number {
  let least = Infinity;
  for (let run = 0; run < 3; run++) {
    const { root } = host();
    const before = process.cpuUsage();
    new MarkdownView(root).finish(source);
    const { user, system } = process.cpuUsage(before);
    least = Math.min(least, (user + system) / 1000);
  }
  return least;
}

const SIZE = 40_000;

for (const [name, make] of Object.entries(WORST)) {
  test(`${name}: twice as much takes at most 2.5 times as long`, () => {
    let ratio = Infinity;
    for (let attempt = 0; attempt < 8 && ratio > 2.5; attempt++) {
      // Less than a millisecond is noise, and no danger.
      ratio = cost(make(SIZE * 2)) / Math.max(1, cost(make(SIZE)));
    }
    assert.ok(ratio <= 2.5, `${ratio.toFixed(2)} times`);
  });
}
