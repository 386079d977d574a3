/**
 * Twice the input takes at most 2.5 times as long: hostile inputs cost what their length says, no more.
 *
 * `npm test` gives new objects 128 MB: with less, how often they are collected and copied grows by leaps with the
 * input, and that is what would be measured.
 */

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

/** What one run takes, in milliseconds of the processor: others on the machine do not count. */
function cost(source: string): number {
  const { root } = host();
  const before = process.cpuUsage();
  new MarkdownView(root).finish(source);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** The long form takes the sizes of which the goals of speed speak. */
const SIZE = process.env["PARLEY_TEST_LONG"] ? 40_000 : 20_000;
const ATTEMPTS = 24;

for (const [name, make] of Object.entries(WORST)) {
  test(`${name}: twice as much takes at most 2.5 times as long`, () => {
    const [once, twice] = [make(SIZE), make(SIZE * 2)];
    // Noise only adds: the least time of each is the truest. The longer text goes first, so that it, if either,
    // pays for what the engine has yet to compile; the shorter one twice, so that its noise does not excuse the other.
    let [one, two] = [Infinity, Infinity];
    let ratio = Infinity;
    for (let attempt = 0; attempt < ATTEMPTS && ratio > 2.5; attempt++) {
      two = Math.min(two, cost(twice));
      one = Math.min(one, cost(once), cost(once));
      // Less than a millisecond is noise, and no danger.
      ratio = two / Math.max(1, one);
    }
    assert.ok(ratio <= 2.5, `${ratio.toFixed(2)} times`);
  });
}
