/** A page of some site with `<parley-chat>` in it, under the strictest policy that a site can have. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { resolve } from "node:path";
import type { TestContext } from "node:test";

import type axe from "axe-core";
import type { Browser, BrowserContextOptions, Locator, Page } from "playwright-core";

import { served } from "../../scripts/bundle.ts";
import { ENTRIES, isServed } from "../../scripts/entries.ts";
import { opened, type Seen } from "./pages.ts";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const [ENTRY] = ENTRIES.filter(isServed).filter(({ parts }) => parts);
assert.ok(ENTRY);
/** The chat's first file and its parts, by the names under which the server has them. */
export const FILES = await served(resolve("."), ENTRY);

/** What a page elsewhere has to allow: its own files, and the server over http and by the socket. */
function policy(server: string): string {
  return [
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'",
    `connect-src ${server} ${server.replace("http", "ws")}`,
    "require-trusted-types-for 'script'; trusted-types 'none'",
  ].join("; ");
}

export interface Visit {
  readonly page: Page;
  readonly seen: Seen;
  readonly chat: Locator;
  readonly field: Locator;
  /** The messages on the screen, oldest first. */
  readonly messages: Locator;
}

export type Visiting = BrowserContextOptions & {
  readonly expected?: RegExp;
  /** Attributes of the element. */
  readonly attributes?: string;
  readonly lang?: string;
  /** Stands in the page before the element's module runs. */
  readonly beside?: string;
  /** What is done with the page before it opens anything. */
  readonly before?: (page: Page) => Promise<void>;
};

/** Opens a page that talks to `server` (its url, or a wire's to it) and waits until the element is there. */
export async function visited(
  t: TestContext,
  from: Browser,
  server: string,
  { attributes = "inline", lang = "en", beside = "", before, ...options }: Visiting = {},
): Promise<Visit> {
  const html = `<!doctype html><html lang="${lang}"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>A shop</title><link rel="icon" href="icon.svg">
<main><h1>A shop</h1><button>Buy</button></main>${beside}
<parley-chat url="${server}/" ${attributes}></parley-chat>
<script type="module" src="widget.js"></script>`;
  const pages = createServer(({ url }, response) => {
    const script = FILES.get((url ?? "").slice(1).replace(/\?.*/, ""));
    response.setHeader("Content-Type", script ? "text/javascript" : "text/html; charset=utf-8");
    response.setHeader("Content-Security-Policy", policy(server));
    response.end(script ? Buffer.from(script) : html);
  });
  pages.listen(0, "127.0.0.1");
  await once(pages, "listening");
  t.after(() => {
    pages.close();
    pages.closeAllConnections();
  });
  const { page, seen } = await opened(t, from, options);
  await before?.(page);
  await page.goto(`http://127.0.0.1:${(pages.address() as AddressInfo).port}/`);
  await page.waitForFunction(() => customElements.get("parley-chat"));
  const chat = page.locator("parley-chat");
  const field = chat.locator("textarea");
  return { page, seen, chat, field, messages: chat.locator("article") };
}

/** Says what the model `scripted` plays, as its message. */
export function script(fields: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(fields);
}

/** Writes a message and sends it by Enter. */
export async function say({ field }: Visit, text: string): Promise<void> {
  await field.fill(text);
  await field.press("Enter");
}

/** Until the socket is open: when one is closed before, a browser warns of it, and Playwright hears of no end. */
export function connected(chat: Locator): Promise<void> {
  return chat.evaluate(
    (node) =>
      new Promise<void>((done) => {
        const { client } = node as HTMLElementTagNameMap["parley-chat"];
        if (client.connection.state === "open") done();
        client.on("state", ({ state }) => state === "open" && done());
      }),
  );
}

/** Waits until nothing is answered any more. */
export async function settled({ chat, page }: Visit): Promise<void> {
  // What somebody just did shows in the next frame: before that the log still says that it is idle.
  await page.evaluate(() => new Promise(requestAnimationFrame));
  await chat.locator("[role=log][aria-busy=false]").waitFor();
}

/** What a person would read of an answer. */
export async function answerText({ chat }: Visit): Promise<string> {
  return ((await chat.locator("article.assistant .text").last().textContent()) ?? "").trim();
}

/** axe has nothing to say about the page, shadow roots included. */
export async function flawless({ page }: Visit): Promise<void> {
  await page.evaluate(AXE);
  // What is still fading in has less contrast than it will have.
  await page.evaluate(() => {
    const roots = [document, document.querySelector("parley-chat")?.shadowRoot ?? document];
    const ending = roots
      .flatMap((root) => root.getAnimations())
      .filter(({ effect }) => effect?.getComputedTiming().endTime !== Number.POSITIVE_INFINITY);
    return Promise.all(ending.map(({ finished }) => finished)).then(() => null);
  });
  const { violations } = await page.evaluate(() =>
    (globalThis as unknown as { axe: typeof axe }).axe.run(document),
  );
  assert.deepEqual(
    violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]),
    [],
  );
}
