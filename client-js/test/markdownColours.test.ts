/** Code colours: which stretches, over which texts, and taken back. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { colour, stretches } from "../src/markdown/colours.ts";
import { MarkdownView } from "../src/markdown/index.ts";
import { dice } from "./chance.ts";
import { type FakeElement, type FakeNode, host, isElement, outline } from "./fakeDom.ts";

const kinds = (text: string, language: string): string[] =>
  stretches(text, language).map(([kind, start, end]) => `${kind} ${text.slice(start, end)}`);

test("comments, strings, numbers and keywords have a kind, by the language's way to comment", () => {
  assert.deepEqual(kinds('const a = "x\\"y"; // 1 if\n/* let */ 0xff', "ts"), [
    "keyword const",
    'string "x\\"y"',
    "comment // 1 if",
    "comment /* let */",
    "number 0xff",
  ]);
  assert.deepEqual(kinds("def f(): # don't\n  return '#'", "python"), [
    "keyword def",
    "comment # don't",
    "keyword return",
    "string '#'",
  ]);
  assert.deepEqual(kinds("SELECT 1 -- all", "sql"), [
    "keyword SELECT",
    "number 1",
    "comment -- all",
  ]);
  assert.deepEqual(kinds("if this is text", ""), []);
  assert.deepEqual(kinds("if x", "constructor"), ["keyword if"]);
});

const coloured = (code: HTMLElement): (readonly [string, string | null])[] =>
  [...code.childNodes]
    .filter(({ textContent }) => textContent)
    .map((node) => [
      "getAttribute" in node ? `${(node as Element).getAttribute("class")}` : "",
      node.textContent,
    ]);

test("a block is coloured once its fence closes, and again over the texts that a mark cut", () => {
  const { root, fake } = host();
  const codes: HTMLElement[] = [];
  const view = new MarkdownView(root, {
    colour: (element) => {
      codes.push(element);
      colour(element);
    },
  });
  const source = '```js\nlet a = "one two";\n```\n';
  view.update(source.slice(0, 20));
  assert.equal(codes.length, 0);
  view.finish(source);
  const code = codes[0] as HTMLElement;
  assert.deepEqual(coloured(code), [
    ["parley-keyword", "let"],
    ["", " a = "],
    ["parley-string", '"one two"'],
    ["", ";\n"],
  ]);
  view.mark(18, 23, () => fake.ownerDocument.createElement("cite") as unknown as HTMLElement);
  assert.deepEqual(codes, [code, code]);
  assert.equal(code.textContent, 'let a = "one two";\n');
  const [, , cut, cited] = coloured(code);
  assert.deepEqual(cut, ["parley-string", '"one']);
  assert.deepEqual(cited, ["null", ' two"']);
});

test("a code that is coloured is left alone while what follows it grows", () => {
  const { root, fake } = host();
  let times = 0;
  const view = new MarkdownView(root, { colour: () => times++ });
  const source = "One.\n\n```js\nlet a;\n```\n";
  view.mark(0, 0, () => fake.ownerDocument.createElement("sup") as unknown as HTMLElement);
  for (const more of ["", "\nA", "\nA word", "\nA word.\n\nAnd"]) view.update(source + more);
  assert.equal(times, 1);
});

/** All that stands in a node beside what its buttons say. */
const words = (node: FakeNode): string =>
  isElement(node)
    ? node.childNodes
        .map((child) => (isElement(child) && child.localName === "button" ? "" : words(child)))
        .join("")
    : node.textContent;

test("what is coloured says what it said, wherever marks cut it, and what is in a button is no code", () => {
  const pieces = ["let", " ", '"a b"', "12", "// c\n", "x", "\n", '"', "/*", "*/"];
  for (let seed = 0; seed < 500; seed++) {
    const random = dice(seed);
    const { root, fake } = host();
    const view = new MarkdownView(root, { colour });
    const text = Array.from({ length: random.upTo(12) }, () => random.pick(pieces)).join("");
    view.finish(`\`\`\`js\n${text}\n\`\`\``);
    const whole = root.textContent;
    const points: FakeElement[] = [];
    for (let marks = random.upTo(4); marks > 0; marks--) {
      const start = random.upTo(40);
      const length = random.pick([0, 1, 2, 5, 12]);
      view.mark(start, start + length, () => {
        const made = fake.ownerDocument.createElement(length > 0 ? "mark" : "button");
        if (length > 0) return made as unknown as HTMLElement;
        made.textContent = "2";
        points.push(made);
        return made as unknown as HTMLElement;
      });
      assert.equal(words(fake), whole, `seed ${seed}`);
    }
    for (const point of points) assert.equal(outline(point), '<button>"2"</>', `seed ${seed}`);
  }
});
