/** The page at `/`, with the real server's own policy around it. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, type TestContext, test } from "node:test";

import type axe from "axe-core";
import type { Page } from "playwright-core";

import { lastFirst } from "./ends.ts";
import { browser, opened, type Seen } from "./pages.ts";
import { Parley } from "./parley.ts";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
// A chat whose frames the test sends: the page is looked at here, not the chat.
const CHAT = `customElements.define("parley-chat", class extends HTMLElement {
  client = new class {
    heard = [];
    on(_, listener) { this.heard.push(listener); }
  };
  seen(direction, frame) {
    for (const listener of this.client.heard) listener({ direction, frame });
  }
});`;

const chromium = await browser();
const parley = await Parley.started(after);

async function visited(
  t: TestContext,
  options: Parameters<typeof opened>[2] = {},
): Promise<{ readonly page: Page; readonly seen: Seen }> {
  const visit = await opened(t, chromium, options);
  await visit.page.route("**/widget.js*", (route) =>
    route.fulfill({ contentType: "text/javascript", body: CHAT }),
  );
  await visit.page.goto(parley.url);
  return visit;
}

function frames(page: Page, count: number): Promise<void> {
  return page.evaluate(async (many) => {
    type Chat = HTMLElement & { seen(direction: string, frame: unknown): void };
    const chat = document.querySelector<Chat>("parley-chat");
    await customElements.whenDefined("parley-chat");
    chat?.seen("out", { type: "chat", id: "m1", content: "<img src=x onerror=alert(1)>" });
    for (let seq = 1; seq < many; seq++) chat?.seen("in", { type: "chunk", seq, text: "word" });
  }, count);
}

test("the page loads under its policy, from its own server alone", async (t) => {
  const { page, seen } = await visited(t);
  assert.equal(await page.title(), "Parley is running");
  await page.waitForLoadState("networkidle");
  assert.deepEqual([...seen.requests.keys()], [parley.url]);
});

test("its policy lets the page talk to the server's socket", async (t) => {
  const { page } = await visited(t);
  const subprotocol = page.evaluate(
    () =>
      new Promise((opened, failed) => {
        const socket = new WebSocket(new URL("ws", location.href), "parley.v1.json");
        socket.onopen = () => opened(socket.protocol);
        socket.onerror = failed;
      }),
  );
  assert.equal(await subprotocol, "parley.v1.json");
});

test("whoever is curious sees the newest frames, as text", async (t) => {
  const { page } = await visited(t);
  await frames(page, 2);
  await page.getByText("(2)").waitFor();
  await page.getByText("Frames, as they come and go").click();
  const rows = page.getByRole("list", { name: "Frames" }).getByRole("listitem");
  await rows.nth(1).waitFor();
  assert.deepEqual(await rows.allTextContents(), [
    '→ sent chat {"id":"m1","content":"<img src=x onerror=alert(1)>"}',
    '← came chunk {"seq":1,"text":"word"}',
  ]);
  await frames(page, 1000);
  await page.getByText("(1002)").waitFor();
  assert.equal(await rows.count(), 200);
  assert.match((await rows.last().textContent()) ?? "", /"seq":999/);
});

test("the snippet has the address that the page was reached by, and can be copied", async (t) => {
  const { page } = await visited(t, { permissions: ["clipboard-read", "clipboard-write"] });
  await page.getByRole("button", { name: "Copy" }).click();
  await page.getByText("Copied.").waitFor();
  assert.equal(
    await page.evaluate(() => navigator.clipboard.readText()),
    `<script type="module" src="${parley.url}/widget.js"></script>\n<parley-chat inline></parley-chat>`,
  );
});

test("without scripts the page says what to do, and hides what would do nothing", async (t) => {
  const { page } = await visited(t, { javaScriptEnabled: false });
  await page.getByText('parley chat "hello"').first().waitFor();
  assert.equal(await page.getByRole("button", { name: "Copy" }).isVisible(), false);
  await page.getByRole("link", { name: "health", exact: true }).click();
  assert.equal(page.url(), `${parley.url}/health`);
});

test("axe finds nothing to say about the page, in light and in dark", async (t) => {
  const { page } = await visited(t);
  await page.getByText("Frames, as they come and go").click();
  await frames(page, 50);
  await page.getByText('"seq":49').waitFor();
  await page.evaluate(AXE);
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    const { violations } = await page.evaluate(() =>
      (globalThis as unknown as { axe: typeof axe }).axe.run(),
    );
    assert.deepEqual(
      violations.map(({ id, nodes }) => [colorScheme, id, nodes.map(({ html }) => html)]),
      [],
    );
  }
});

test("nothing of the page is cut off, however narrow it is", async (t) => {
  const { page } = await visited(t);
  for (const width of [320, 390, 1280]) {
    await page.setViewportSize({ width, height: 700 });
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
  }
});

test("below a base path the page finds all that is its own", async (t) => {
  const below = await Parley.started(lastFirst(t), { PARLEY_BASE_PATH: "/chat" });
  const { page } = await opened(t, chromium);
  await page.route("**/chat/widget.js*", (route) =>
    route.fulfill({ contentType: "text/javascript", body: CHAT }),
  );
  for (const path of ["/chat", "/chat/"]) {
    await page.goto(below.url.replace(/\/chat$/, "") + path);
    await page.getByText("/chat/widget.js").waitFor();
    await frames(page, 3);
    await page.getByText("(3)").waitFor();
  }
});
