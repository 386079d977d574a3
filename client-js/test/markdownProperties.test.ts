/** What holds of every document: of ones made from a grammar, of hostile ones, and of the specification's examples. */

import assert from "node:assert/strict";
import { test } from "node:test";

import spec from "commonmark-spec";

import { MarkdownView, parse, type Token } from "../src/markdown/index.ts";
import { elements, type FakeElement, host, outline } from "./fakeDom.ts";
import { Author, cases } from "./markdownCases.ts";

const CUTS = cases(10_000);
const HOSTILE = cases(10_000);
const PLACED = cases(2_000);

/** `assert.equal` that words its message only when it is needed: that costs more than what is tested. */
function alike(one: FakeElement, other: FakeElement, where: () => string): void {
  const [is, due] = [outline(one), outline(other)];
  if (is !== due) assert.equal(is, due, where());
}

/** Cuts a document at random places, shows it piece by piece, and compares the end; how many cuts it made. */
function streamsAlike(source: string, author: Author): number {
  const { root, fake } = host();
  const view = new MarkdownView(root);
  const cuts = 1 + author.below(20);
  const at = Array.from({ length: cuts }, () => author.below(source.length + 1)).sort(
    (a, b) => a - b,
  );
  for (const cut of at) view.update(source.slice(0, cut));
  const last = at.at(-1) as number;
  const fresh = host();
  new MarkdownView(fresh.root).update(source.slice(0, last));
  alike(fake, fresh.fake, () => `live: ${JSON.stringify(source.slice(0, last))} cut at ${at}`);
  view.finish(source);
  const whole = host();
  new MarkdownView(whole.root).finish(source);
  alike(fake, whole.fake, () => `${JSON.stringify(source)} cut at ${at}`);
  return cuts;
}

test("a document streamed in any pieces ends as the same tree as one shown at once, and is so on the way", () => {
  const author = new Author(5);
  const examples = spec.tests.map(({ markdown }) => markdown);
  let cuts = 0;
  for (const example of examples) cuts += streamsAlike(example, author);
  while (cuts < CUTS)
    cuts += streamsAlike(author.next() < 0.8 ? author.document() : author.hostile(), author);
});

const TAGS = new Set(
  "p h3 h4 h5 h6 hr pre ul ol li blockquote table thead tbody tr th td em strong del code a br span button".split(
    " ",
  ),
);
const ATTRIBUTES: Readonly<Record<string, RegExp>> = {
  dir: /^(?:ltr|rtl)$/,
  href: /^(?:https?:\/\/|mailto:|tel:)[!-~]+$/,
  title: /^(?:https?:\/\/|mailto:|tel:)[!-~]+$/,
  target: /^_blank$/,
  rel: /^noopener noreferrer nofollow$/,
  class: /^(?:tight|loose|image|task|plain|language-\S+)$/,
  start: /^\d{1,9}$/,
  align: /^(?:left|right|center)$/,
  type: /^button$/,
};

test("a hostile document makes no element, attribute or URL that is not allowed, whole or on the way", () => {
  const author = new Author(17);
  for (let i = 0; i < HOSTILE; i++) {
    const source = author.hostile();
    const { root, fake } = host();
    const view = new MarkdownView(root);
    const check = (): void => {
      for (const { localName, attributes } of elements(fake)) {
        if (!TAGS.has(localName)) assert.fail(`${localName} in ${JSON.stringify(source)}`);
        for (const [name, value] of attributes) {
          if (!ATTRIBUTES[name]?.test(value))
            assert.fail(`${name}=${value} in ${JSON.stringify(source)}`);
        }
      }
    };
    view.update(source.slice(0, author.below(source.length)));
    check();
    view.finish(source);
    check();
  }
});

test("every text token says where in the source each of its characters stands", () => {
  const author = new Author(3);
  const check = (token: Token, source: string): void => {
    if (Array.isArray(token)) {
      for (const child of token.slice(2)) check(child as Token, source);
      return;
    }
    const { text, map } = token;
    for (let i = 0; i < map.length; i += 2) {
      const [index, offset, end = text.length] = [
        map[i] as number,
        map[i + 1] as number,
        map[i + 2],
      ];
      for (let at = index; at < Math.min(end, text.length); at++) {
        const char = source[offset + at - index];
        const same =
          text[at] === char ||
          /[☐☑]/.test(text) ||
          (/\s/.test(text[at] as string) && /\s|undefined/.test(`${char}`));
        if (!same && (char !== "&" || (at !== end - 1 && at !== index)))
          assert.fail(JSON.stringify({ source, text, map, at }));
      }
    }
  };
  for (let i = 0; i < PLACED; i++) {
    const source = author.document();
    for (const block of parse(source)) check(block, source);
  }
});
