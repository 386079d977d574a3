/** What the view shows, keeps and refuses, case by case; what holds of all documents is in markdownProperties. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { type MarkdownOptions, MarkdownView, parse } from "../src/markdown/index.ts";
import {
  elements,
  type FakeElement,
  type FakeNode,
  type FakeText,
  host,
  outline,
} from "./fakeDom.ts";

function show(source: string, options: MarkdownOptions = {}): FakeElement {
  const { root, fake } = host();
  new MarkdownView(root, options).finish(source);
  return fake;
}

/** The children of the root while a text is still being written. */
function live(source: string): string {
  const { root, fake } = host();
  new MarkdownView(root).update(source);
  return fake.childNodes.map(outline).join("");
}

const names = (node: FakeNode): string[] => elements(node).map(({ localName }) => localName);
const first = (node: FakeNode, name: string): FakeElement =>
  elements(node).find(({ localName }) => localName === name) as FakeElement;

test("tables, tasks, strikethrough and bare URLs are read as GFM has them", () => {
  assert.deepEqual(names(show("| a | b |\n|:-:|--:|\n| `x\\|y` |\n\nend")), [
    "table",
    "thead",
    "tr",
    "th",
    "th",
    "tbody",
    "tr",
    "td",
    "code",
    "td",
    "p",
  ]);
  assert.equal(first(show("|a|\n|:-:|"), "th").getAttribute("align"), "center");
  assert.equal(show("- [x] done\n- [ ] not").textContent, "☑ done☐ not");
  assert.deepEqual(names(show("~~gone~~ ~gone~ ~~~not~~~")), ["p", "del", "del"]);
  const hrefs = elements(
    show("see https://a.example/x_(y)?z. (www.b.example) xhttps://no.example"),
  ).map((link) => link.getAttribute("href"));
  assert.deepEqual(hrefs, [null, "https://a.example/x_(y)?z", "http://www.b.example/"]);
});

test("what is still open while text streams is closed on speculation", () => {
  assert.equal(live("a **bold"), '<p dir="ltr">"a "<strong>"bold"</></>');
  assert.equal(live("a **bold*"), '<p dir="ltr">"a "<strong>"bold"</></>');
  assert.equal(live("a `co**de"), '<p dir="ltr">"a "<code dir="ltr">"co**de"</></>');
  assert.equal(live("a ~~gone"), '<p dir="ltr">"a "<del>"gone"</></>');
});

test("a link has no destination before it is complete", () => {
  for (const source of [
    "[text",
    "[text]",
    "[text](https://a.exam",
    '[text](https://a.example "ti',
    "![text](https://a",
  ]) {
    assert.equal(live(source), '<p dir="ltr"><a>"text"</></>', source);
  }
  assert.equal(
    first(show("[text](https://a.example)"), "a").getAttribute("href"),
    "https://a.example/",
  );
  assert.equal(live("https://a.exam"), '<p dir="ltr"><a>"https://a.exam"</></>');
});

test("a last line of nothing but marks is not shown before it is clear what it is", () => {
  const whole = live("text");
  for (const line of ["-", "- ", "==", "1.", "```", "> ", "- [ ]", "|--|"])
    assert.equal(live(`text\n${line}`), whole, line);
  assert.deepEqual(names(show("text\n-")), ["h4"]);
  assert.equal(live("| a | b |\n|--"), '<p dir="ltr"></>');
});

test("what is settled stays the same nodes, and an open fence grows in one text", () => {
  const { root, fake } = host();
  const view = new MarkdownView(root);
  const source =
    "# Title\n\nfirst *one*\n\n- a\n- b\n\n| x |\n|---|\n| y |\n| z |\n\n```ts\nlet a = 1;\nlet b";
  view.update(source);
  const before = new Set(all(fake));
  const code = first(fake, "code");
  const text = code.firstChild as FakeText;
  const { made, replaced } = fake.ownerDocument;
  view.update(`${source} = 2;\n`);
  view.update(`${source} = 2;\nlet c = 3;`);
  assert.deepEqual([fake.ownerDocument.made, fake.ownerDocument.replaced], [made, replaced]);
  assert.equal(code.firstChild, text);
  assert.equal(text.data, "let a = 1;\nlet b = 2;\nlet c = 3;");
  view.finish(`${source} = 2;\nlet c = 3;\n\`\`\`\nmore`);
  for (const node of before) assert.ok(all(fake).includes(node));
});

function all(node: FakeNode): FakeNode[] {
  return node.childNodes.flatMap((child) => [child, ...all(child)]);
}

test("a list that turns out to be loose, and a long table, keep the items and rows they have", () => {
  const { root, fake } = host();
  const view = new MarkdownView(root);
  view.update("- a\n- b\n- c");
  const items = (first(fake, "ul") as FakeNode).childNodes;
  assert.equal(first(fake, "ul").getAttribute("class"), "tight");
  view.update("- a\n- b\n- c\n\n- d");
  assert.equal(first(fake, "ul").getAttribute("class"), "loose");
  assert.deepEqual(first(fake, "ul").childNodes.slice(0, 3), items);
});

test("each new line of a long list or table touches only itself", () => {
  for (const line of ["- item *x*\n", "| a | b |\n"]) {
    const { root, fake } = host();
    const view = new MarkdownView(root);
    let source = "| a | b |\n|---|---|\n".repeat(line[0] === "|" ? 1 : 0);
    for (let i = 0; i < 200; i++) {
      source += line;
      view.update(source);
    }
    const { made } = fake.ownerDocument;
    view.update(source + line);
    assert.ok(
      fake.ownerDocument.made - made <= 8,
      `${fake.ownerDocument.made - made} nodes for ${line}`,
    );
  }
});

test("only links to http, https, mailto and tel lead anywhere, in a tab of their own and with the URL in sight", () => {
  const link = first(show('[x](HTTPS://ex%41mple.com/a?b "bank.example")'), "a");
  assert.equal(
    outline(link),
    '<a href="https://example.com/a?b" rel="noopener noreferrer nofollow" target="_blank" title="https://example.com/a?b">"x"</>',
  );
  for (const url of [
    "javascript:alert(1)",
    "java&#10;script:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "//evil.example",
    "/path",
    "#x",
    "https://user@evil.example",
  ]) {
    assert.equal(outline(first(show(`[x](<${url}>)`), "a")), '<a>"x"</>', url);
  }
  for (const url of ["mailto:a@b.example", "tel:+4912"]) {
    assert.equal(first(show(`[x](${url})`), "a").getAttribute("href"), url);
  }
});

test("raw HTML is text", () => {
  const source = "<img src=x onerror=alert(1)> <b>no</b>\n\n<script>alert(1)</script>";
  assert.deepEqual(names(show(source)), ["p", "p"]);
  assert.equal(show(source).textContent, source.replace("\n\n", ""));
});

test("an image is a button with its host until it is asked for", () => {
  const source = "![a cat](https://cats.example/1.png)";
  const page = show(source);
  assert.deepEqual(names(page), ["p", "span", "button"]);
  assert.equal(page.textContent, "Show image: cats.example");
  first(page, "button").click();
  assert.equal(first(page, "img").getAttribute("src"), "https://cats.example/1.png");
  assert.equal(first(page, "img").getAttribute("alt"), "a cat");
});

test("options name an image's button, make what takes its place, and trust origins", () => {
  const source = "![a cat](https://cats.example/1.png) ![](data:image/png,x)";
  const asked: string[] = [];
  const page = show(source, {
    imageLabel: (host, alt) => `Bild von ${host}: ${alt}`,
    image: (url, alt) => {
      asked.push(url, alt);
      return page.ownerDocument.createElement("figure") as unknown as Node;
    },
  });
  assert.equal(page.textContent, "Bild von cats.example: a cat ");
  first(page, "button").click();
  assert.deepEqual(asked, ["https://cats.example/1.png", "a cat"]);
  assert.ok(names(page).includes("figure"));
  assert.deepEqual(names(show(source, { imageOrigins: ["https://cats.example"] })), [
    "p",
    "span",
    "img",
    "span",
  ]);
});

test("an image that was loaded stays while the text after it grows", () => {
  const { root, fake } = host();
  const view = new MarkdownView(root);
  view.update("![a](https://a.example/1.png) and");
  first(fake, "button").click();
  const image = first(fake, "img");
  view.update("![a](https://a.example/1.png) and more **text");
  assert.equal(first(fake, "img"), image);
});

test("headings begin at the level the page leaves them and end at 6", () => {
  assert.deepEqual(names(show("# a\n## b\n###### c")), ["h3", "h4", "h6"]);
  assert.deepEqual(names(show("# a\n## b", { heading: 2 })), ["h2", "h3"]);
});

test("top blocks take the direction of their text, code is always left to right", () => {
  const directions = elements(show("`x` مرحبا\n\n- 1 (مرحبا\n\n```\ny\n```\n\n> a")).map(
    (e) => `${e.localName} ${e.getAttribute("dir")}`,
  );
  assert.deepEqual(directions, [
    "p rtl",
    "code ltr",
    "ul rtl",
    "li null",
    "p null",
    "pre ltr",
    "code ltr",
    "blockquote ltr",
    "p null",
  ]);
});

test("a code block is told of once, when it is complete, with its language and text", () => {
  const { root } = host();
  const told: string[] = [];
  const view = new MarkdownView(root, {
    code: (pre, language, text) =>
      void told.push((pre as unknown as FakeElement).localName, language, text),
  });
  view.update("```ts extra\nlet a");
  view.update("```ts extra\nlet a;\n");
  assert.deepEqual(told, []);
  view.update("```ts extra\nlet a;\n```\n");
  view.finish("```ts extra\nlet a;\n```\n\n    indented");
  assert.deepEqual(told, ["pre", "ts", "let a;", "pre", "", "indented"]);
});

test("a text that does not begin with the last one is shown anew", () => {
  const { root, fake } = host();
  const view = new MarkdownView(root);
  view.update("one *two*");
  view.update("other");
  assert.equal(outline(fake), '<div><p dir="ltr">"other"</></>');
  view.finish();
  view.update("other text");
  assert.equal(fake.textContent, "other text");
});

test("deep nesting and what comes after 262144 characters are plain text", () => {
  assert.ok(names(show(`${">".repeat(500)} deep`)).length < 50);
  assert.ok(names(show(`${"*a **b ".repeat(200)}${"c** d* ".repeat(200)}`)).length < 500);
  const page = show(`${"# x\n".repeat(65536)}# *plain*\n# text`);
  assert.equal((page.lastChild as FakeElement).getAttribute("class"), "plain");
  assert.equal(page.lastChild?.textContent, "# *plain*\n# text");
});

test("the tokenizer needs no DOM and says where text stands", () => {
  assert.deepEqual(parse("# *Hi* &amp; you"), [
    ["h1", {}, ["em", {}, { text: "Hi", map: [0, 3] }], { text: " & you", map: [0, 6, 2, 12] }],
  ]);
  assert.deepEqual(parse("> a\n> b"), [
    ["blockquote", {}, ["p", {}, { text: "a\nb", map: [0, 2, 2, 6] }]],
  ]);
});
