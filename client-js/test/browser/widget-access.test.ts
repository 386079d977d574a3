/** `<parley-chat>` for whoever uses it by keyboard or by ear. */

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { say, script, settled, type Visit, visited } from "./chat.ts";
import { browser } from "./pages.ts";
import { Parley } from "./parley.ts";

const chromium = await browser();
const parley = await Parley.started(after, { PARLEY_MODEL: "scripted" });

const ENDLESS = script({ tokens: 4000, text: "word ", every_ms: 20 });

/** Which element has focus, by its name or its text. */
function focused({ chat }: Visit): Promise<string | null | undefined> {
  return chat.evaluate((node) => {
    const active = node.shadowRoot?.activeElement;
    return active?.getAttribute("aria-label") ?? active?.textContent;
  });
}

test("a whole talk needs nothing but the keyboard", async (t) => {
  const visit = await visited(t, chromium, parley.url, { attributes: "" });
  const { page, field } = visit;
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  assert.equal(await focused(visit), "Open chat");
  await page.keyboard.press("Enter");
  await field.waitFor();
  await page.keyboard.type(script({ tokens: 3, text: "word " }));
  await page.keyboard.press("Shift+Enter");
  assert.match(await field.inputValue(), /\n$/);
  await page.keyboard.press("Enter");
  await settled(visit);
  await page.keyboard.press("F6");
  assert.equal(await focused(visit), "Messages");
  for (const [key, there] of [
    ["ArrowUp", "Chat said"],
    ["ArrowUp", "You said"],
    ["ArrowUp", "You said"],
    ["End", "Chat said"],
    ["Home", "You said"],
    ["ArrowDown", "Chat said"],
  ] as const) {
    await page.keyboard.press(key);
    assert.equal(await focused(visit), there, key);
  }
  await page.keyboard.press("F6");
  assert.equal(await focused(visit), "Write a message…");
  await page.keyboard.type(ENDLESS);
  await page.keyboard.press("Enter");
  await visit.chat.getByText("word word").last().waitFor();
  await page.keyboard.press("Escape");
  await visit.chat.getByText("Stopped.").waitFor();
  await page.keyboard.press("Escape");
  assert.equal(await focused(visit), "Open chat", "closing goes back to the launcher");
});

test("Enter that ends a composition sends nothing", async (t) => {
  const { field, messages } = await visited(t, chromium, parley.url);
  await field.fill("にほん");
  await field.evaluate((node) => {
    const enter = { key: "Enter", bubbles: true, cancelable: true };
    node.dispatchEvent(new KeyboardEvent("keydown", { ...enter, isComposing: true }));
    node.dispatchEvent(new KeyboardEvent("keydown", { ...enter, keyCode: 229 }));
  });
  assert.equal(await messages.count(), 0);
  assert.equal(await field.inputValue(), "にほん");
});

test("an answer of any length is at most three announcements", async (t) => {
  const spoken: string[] = [];
  const visit = await visited(t, chromium, parley.url);
  await visit.page.exposeFunction("spoken", (text: string) => spoken.push(text));
  await visit.page.evaluate(() => {
    Object.assign(Element.prototype, {
      ariaNotify: (globalThis as unknown as { spoken(text: string): void }).spoken,
    });
  });
  await say(visit, script({ tokens: 300, text: "word ", every_ms: 2, thought: "Let me see." }));
  await settled(visit);
  assert.deepEqual(spoken, ["Chat is answering", "word ".repeat(300).trim()]);
});

test("without ariaNotify a polite region says it, and is silent again", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  await visit.page.evaluate(() => {
    Reflect.deleteProperty(Element.prototype, "ariaNotify");
  });
  await say(visit, script({ tokens: 2, text: "word " }));
  const region = visit.chat.getByRole("status");
  await region.filter({ hasText: "word word" }).waitFor({ state: "attached" });
  await region.filter({ hasText: /^$/ }).waitFor({ state: "attached" });
});

test("what can be done with an earlier message shows under the pointer, with the focus, and in forced colours", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  for (const text of ["One", "Two"]) {
    await say(visit, script({ tokens: 1, text }));
    await settled(visit);
  }
  const { page } = visit;
  const message = visit.messages.nth(1);
  const button = message.getByRole("button", { name: "Copy" });
  const seen = (of = message) =>
    of
      .locator(".actions svg")
      .first()
      .evaluate((svg) => getComputedStyle(svg).visibility);
  assert.equal(await seen(), "hidden");
  assert.equal(await seen(visit.messages.last()), "visible", "the newest one's are always there");
  await button.focus();
  assert.equal(await seen(), "visible");
  await visit.field.focus();
  assert.equal(await seen(), "hidden");
  await message.hover();
  assert.equal(await seen(), "visible");
  await visit.field.hover();
  await page.emulateMedia({ forcedColors: "active" });
  assert.equal(await seen(), "visible");
});
