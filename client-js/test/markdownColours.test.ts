/** Code colours: which stretches, over which texts, and taken back. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { colour, stretches } from "../src/markdown/colours.ts";
import { MarkdownView } from "../src/markdown/index.ts";
import { dice } from "./chance.ts";
import { host } from "./fakeDom.ts";

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

const coloured = (code: HTMLElement): (readonly [string, string | null])[] =>
  [...code.childNodes].map((node) => [
    "getAttribute" in node ? `${(node as Element).getAttribute("class")}` : "",
    node.textContent,
  ]);

test("a block is coloured once its fence closes, and again over the texts that a mark cut", () => {
  const { root, fake } = host();
  const codes: HTMLElement[] = [];
  const view = new MarkdownView(root, {
    colour: (element, language) => {
      codes.push(element);
      colour(element, language);
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

test("what is coloured says what it said, wherever marks cut it", () => {
  const pieces = ["let", " ", '"a b"', "12", "// c\n", "x", "\n", '"', "/*", "*/"];
  for (let seed = 0; seed < 500; seed++) {
    const random = dice(seed);
    const { root, fake } = host();
    const view = new MarkdownView(root, { colour });
    const text = Array.from({ length: random.upTo(12) }, () => random.pick(pieces)).join("");
    view.finish(`\`\`\`js\n${text}\n\`\`\``);
    const whole = root.textContent;
    for (let marks = random.upTo(3); marks > 0; marks--) {
      const start = random.upTo(40);
      const make = () => fake.ownerDocument.createElement("mark") as unknown as HTMLElement;
      view.mark(start, start + 1 + random.upTo(12), make);
      assert.equal(root.textContent, whole, `seed ${seed}`);
    }
  }
});
