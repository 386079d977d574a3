/** The page at `/` as it comes at the first command: with the chat in it. */

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { browser, opened } from "./pages.ts";
import { Parley } from "./parley.ts";

const chromium = await browser();
const parley = await Parley.started(after);

test("a sample question is answered, its frames are seen, and nobody else is asked", async (t) => {
  const { page, seen } = await opened(t, chromium);
  await page.goto(parley.url);
  await page.getByRole("button", { name: /connection drops/ }).click();
  await page.getByText("Frames, as they come and go").click();
  const rows = page.getByRole("list", { name: "Frames" }).getByRole("listitem");
  await rows.filter({ hasText: "came complete" }).waitFor();
  const told = (await rows.allTextContents()).join("\n");
  for (const name of ["sent hello", "came welcome", "sent chat", "came ack", "came chunk"]) {
    assert.match(told, new RegExp(name));
  }
  assert.doesNotMatch(told, /"token":"[^…]/);
  assert.deepEqual(
    new Set(seen.requests.keys()),
    new Set([parley.url, parley.url.replace("http", "ws")]),
  );
});

test("on the server's own page a visitor's conversations are listed", async (t) => {
  const { page } = await opened(t, chromium);
  await page.goto(parley.url);
  const field = page.locator("parley-chat textarea");
  await field.fill("apples");
  await field.press("Enter");
  await page.locator("parley-chat article.assistant").getByText("apples").first().waitFor();
  await page.getByRole("button", { name: "Conversations" }).click();
  await page.getByRole("dialog", { name: "Conversations" }).locator(".pick").first().waitFor();
});
