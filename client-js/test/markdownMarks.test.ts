/** Marks of spans of the source: set early or late, they end up in the same places. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { MarkdownView } from "../src/markdown/index.ts";
import { elements, type FakeElement, host, outline } from "./fakeDom.ts";
import { Author, cases } from "./markdownCases.ts";

const MARKED = cases(1_500);

interface Span {
  readonly start: number;
  readonly end: number;
}

/** A view whose marks are `cite` elements with the offsets of their span. */
function citing(): {
  readonly view: MarkdownView;
  readonly fake: FakeElement;
  readonly cite: (span: Span) => void;
} {
  const { root, fake } = host();
  const view = new MarkdownView(root);
  const cite = ({ start, end }: Span): void =>
    view.mark(start, end, () => {
      const element = fake.ownerDocument.createElement("cite");
      element.setAttribute("span", `${start}-${end}`);
      return element as unknown as HTMLElement;
    });
  return { view, fake, cite };
}

const cited = (fake: FakeElement): FakeElement[] =>
  elements(fake).filter(({ localName }) => localName === "cite");

/** The span of the source that stands where a piece of it is written first. */
function spanOf(source: string, piece: string): Span {
  const start = source.indexOf(piece);
  return { start, end: start + piece.length };
}

const SOURCE =
  "> Fish & chips are *very good*\n> in [the north](https://a.example).\n\n1. One &amp; two\n2. Three";

test("a span is marked in every stretch of text it covers, whatever markup lies between", () => {
  const { view, fake, cite } = citing();
  view.finish(SOURCE);
  cite(spanOf(SOURCE, "are *very good*\n> in [the"));
  assert.deepEqual(
    cited(fake).map(({ textContent }) => textContent),
    ["are ", "very good", "\nin ", "the"],
  );
});

test("a point within a word stands behind it, once the word is whole", () => {
  const { view, fake, cite } = citing();
  view.update("The trains lea");
  cite({ start: 12, end: 12 });
  cite({ start: 4, end: 4 });
  view.update("The trains leave at 9");
  assert.equal(
    outline(fake),
    '<div><p dir="ltr">"The "<cite span="4-4"></>"trains leave"<cite span="12-12"></>" at 9"</></>',
  );
});

test("a point in a script without spaces stands where it was said", () => {
  const { view, fake, cite } = citing();
  view.finish("列车九点开");
  cite({ start: 2, end: 2 });
  assert.equal(outline(fake), '<div><p dir="ltr">"列车"<cite span="2-2"></>"九点开"</></>');
});

test("a span may go over blocks", () => {
  const { view, fake, cite } = citing();
  view.finish(SOURCE);
  cite(spanOf(SOURCE, "One &amp; two\n2. Thr"));
  assert.deepEqual(
    cited(fake).map(({ textContent }) => textContent),
    ["One & two", "Thr"],
  );
});

test("an empty span is a point, set once and never into a link", () => {
  const { view, fake, cite } = citing();
  view.finish(SOURCE);
  const inLink = spanOf(SOURCE, "north").start;
  const { length } = SOURCE;
  const afterTwo = spanOf(SOURCE, "&amp; two").end;
  for (const at of [inLink, length, afterTwo]) cite({ start: at, end: at });
  const places = cited(fake).map((mark) => [
    mark.parentNode && outline(mark.parentNode).slice(0, 3),
    mark.nextSibling?.textContent,
  ]);
  assert.deepEqual(places, [
    ["<p>", "."],
    ["<p>", undefined],
    ["<p>", undefined],
  ]);
  assert.equal(cited(fake)[1]?.previousSibling?.textContent, "One & two");
});

test("a mark that goes over to a block that comes is not mistaken for another one", () => {
  const [span, point] = [
    { start: 9, end: 12 },
    { start: 7, end: 7 },
  ];
  const source = "One.\n\n\n\nTwo more";
  const early = citing();
  early.view.update(source.slice(0, 6));
  for (const each of [span, point]) early.cite(each);
  early.view.finish(source);
  const late = citing();
  late.view.finish(source);
  for (const each of [span, point]) late.cite(each);
  assert.equal(outline(early.fake), outline(late.fake));
});

test("a mark in text that is still growing stays the same element", () => {
  const { view, fake, cite } = citing();
  view.update("The sea is blue. And");
  cite({ start: 0, end: 16 });
  cite({ start: 16, end: 16 });
  const before = cited(fake);
  view.update("The sea is blue. And the sky **too");
  view.finish("The sea is blue. And the sky **too**.\n\nEnd");
  assert.deepEqual(cited(fake), before);
  assert.equal(
    outline(fake),
    '<div><p dir="ltr"><cite span="0-16">"The sea is blue."</><cite span="16-16"></>" And the sky "<strong>"too"</>"."</><p dir="ltr">"End"</></>',
  );
});

test("marks set while the text streams, after it, and in any order give the same tree", () => {
  const author = new Author(23);
  for (let i = 0; i < MARKED; i++) {
    const source = author.document();
    const spans = Array.from({ length: 1 + author.below(4) }, () => {
      const start = author.below(source.length + 1);
      return { start, end: Math.min(source.length, start + author.pick([0, 3, 10, 40])) };
    }).filter(({ start }, at, list) => list.findIndex((other) => other.start === start) === at);
    const late = citing();
    late.view.finish(source);
    const plain = late.fake.textContent;
    for (const span of [...spans].reverse()) late.cite(span);
    const early = citing();
    const cuts = Array.from({ length: 6 }, () => author.below(source.length + 1)).sort(
      (a, b) => a - b,
    );
    const waiting = [...spans];
    for (const cut of cuts) {
      early.view.update(source.slice(0, cut));
      for (const span of waiting.filter(({ end }) => end <= cut))
        early.cite(waiting.splice(waiting.indexOf(span), 1)[0] as Span);
    }
    early.view.finish(source);
    for (const span of waiting) early.cite(span);
    const where = JSON.stringify({ source, spans, cuts });
    assert.equal(outline(early.fake), outline(late.fake), where);
    assert.equal(late.fake.textContent, plain);
    const marks = cited(late.fake).map((mark) => mark.getAttribute("span"));
    for (const { start, end } of spans) {
      if (start < end) continue;
      const points = marks.filter((span) => span === `${start}-${end}`);
      assert.ok(points.length <= 1, where);
    }
  }
});
