/** Code colours: which stretches, over which texts, and taken back. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { colour, stretches, uncolour } from "../src/markdown/colours.ts";
import { MarkdownView } from "../src/markdown/index.ts";
import { type FakeText, host } from "./fakeDom.ts";

const words = (text: string, language: string): string[] =>
  stretches(text, language).map(([kind, start, end]) => `${kind} ${text.slice(start, end)}`);

test("comments, strings, numbers and keywords have a kind, by the language's way to comment", () => {
  assert.deepEqual(words('const a = "x\\"y"; // 1 if\n/* let */ 0xff', "ts"), [
    "keyword const",
    'string "x\\"y"',
    "comment // 1 if",
    "comment /* let */",
    "number 0xff",
  ]);
  assert.deepEqual(words("def f(): # don't\n  return '#'", "python"), [
    "keyword def",
    "comment # don't",
    "keyword return",
    "string '#'",
  ]);
  assert.deepEqual(words("SELECT 1 -- all", "sql"), [
    "keyword SELECT",
    "number 1",
    "comment -- all",
  ]);
  assert.deepEqual(words("if this is text", ""), []);
  assert.deepEqual(words("if x", "constructor"), ["keyword if"]);
});

/** A registry as the browser's, whose highlights are sets of ranges. */
function withHighlights(t: {
  after: (undo: () => void) => void;
}): Map<string, Set<StaticRangeInit>> {
  const highlights = new Map<string, Set<StaticRangeInit>>();
  const globals = {
    CSS: { highlights },
    Highlight: Set,
    StaticRange: class {
      constructor(init: StaticRangeInit) {
        Object.assign(this, init);
      }
    },
  };
  Object.assign(globalThis, globals);
  t.after(() => {
    for (const name of Object.keys(globals)) Reflect.deleteProperty(globalThis, name);
  });
  return highlights;
}

const shown = (ranges: Iterable<StaticRangeInit>): string[] =>
  [...ranges].map(({ startContainer, startOffset, endOffset }) =>
    (startContainer as unknown as FakeText).data.slice(startOffset, endOffset),
  );

test("a block is coloured once its fence closes, again over the texts that a mark cut, and can be taken back", (t) => {
  const highlights = withHighlights(t);
  const { root, fake } = host();
  let code: HTMLElement | undefined;
  const view = new MarkdownView(root, {
    colour: (element, language) => {
      code = element;
      colour(element, language);
    },
  });
  const source = '```js\nlet a = "one two";\n```\n';
  view.update(source.slice(0, 20));
  assert.equal(highlights.size, 0);
  view.finish(source);
  assert.deepEqual(shown(highlights.get("parley-string") ?? []), ['"one two"']);
  view.mark(18, 26, () => fake.ownerDocument.createElement("cite") as unknown as HTMLElement);
  assert.deepEqual(shown(highlights.get("parley-string") ?? []), ['"one', ' two"']);
  assert.deepEqual(shown(highlights.get("parley-keyword") ?? []), ["let"]);
  uncolour(code as HTMLElement);
  assert.deepEqual(
    [...highlights.values()].map(({ size }) => size),
    [0, 0],
  );
});

test("without the API there are no colours and no error", () => {
  const { root } = host();
  new MarkdownView(root, { colour }).finish("```js\nlet a;\n```");
  assert.equal("CSS" in globalThis, false);
});
