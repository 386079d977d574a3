/** The examples of the CommonMark specification, as far as they are in scope: a ratchet. */

import assert from "node:assert/strict";
import { test } from "node:test";

import spec from "commonmark-spec";

import { parse, type Token } from "../src/markdown/index.ts";

/** Raw HTML is text here, definitions would change what is settled, tabs count as four columns. */
const SECTIONS =
  /^(?:Tabs|HTML blocks|Raw HTML|Link reference definitions|Entity and numeric character references)$/;
const DEFINITION = /^ {0,3}(?:> ?)*\[[^\]]*\]:/m;
const HTML = /<(?:\/?[a-z][^>@:]*>|!--)/i;

const IN_SCOPE = spec.tests.filter(
  ({ section, markdown }) =>
    !SECTIONS.test(section) &&
    !/[\t→]/.test(markdown) &&
    !DEFINITION.test(markdown) &&
    !HTML.test(markdown),
);

/** The examples that differ, and why. */
const EXCEPTIONS: ReadonlyMap<number, string> = new Map([
  [503, "`&auml;` is not among the entities we know"],
  [602, "GFM makes a link of a bare URL"],
  [608, "GFM makes a link of a bare URL"],
  [611, "GFM makes a link of a bare URL"],
]);

const escaped = (text: string): string =>
  text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");

/** Tokens as the specification writes them; a tight list has no paragraphs there. */
function html(tokens: readonly Token[], tight = false): string {
  return tokens
    .map((token) => (Array.isArray(token) ? element(token, tight) : escaped(token.text)))
    .join("");
}

function element(
  [tag, attributes, ...children]: Exclude<Token, { text: string }>,
  tight: boolean,
): string {
  const shown = ["href", "src", "start", "class", "alt", "title"]
    .filter((name) => name in attributes && !/^[uo]l\.class$/.test(`${tag}.${name}`))
    .map((name) => ` ${name}="${escaped(attributes[name] as string)}"`)
    .join("");
  switch (tag) {
    case "br":
    case "img":
      return `<${tag}${shown} />`;
    case "hr":
      return "<hr />\n";
    case "ul":
    case "ol":
      return `<${tag}${shown}>\n${html(children, attributes["class"] === "tight")}</${tag}>\n`;
    case "blockquote":
      return `<${tag}>\n${html(children)}</${tag}>\n`;
    case "li":
      return `<li>${item(children, tight)}</li>\n`;
    default:
      return `<${tag}${shown}>${html(children)}</${tag}>${/^(?:p|h\d|pre)$/.test(tag) ? "\n" : ""}`;
  }
}

function item(children: readonly Token[], tight: boolean): string {
  return children
    .map((child, i) => {
      if (tight && Array.isArray(child) && child[0] === "p") {
        return html(child.slice(2) as Token[]) + (i < children.length - 1 ? "\n" : "");
      }
      return (i === 0 ? "\n" : "") + html([child]);
    })
    .join("");
}

test("every CommonMark example in scope but the listed exceptions reads as the specification has it", () => {
  assert.ok(IN_SCOPE.length >= 440, `${IN_SCOPE.length} examples are in scope`);
  const differing = IN_SCOPE.filter(
    ({ markdown, html: wanted }) => html(parse(markdown)) !== wanted,
  );
  assert.deepEqual(
    differing.map(({ number }) => number),
    [...EXCEPTIONS.keys()],
  );
  assert.ok(EXCEPTIONS.size / IN_SCOPE.length <= 0.03);
});
