/** The list of conversations in `<parley-chat>`, level with the server's. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, test } from "node:test";

import { flawless, say, script, settled, type Visit, visited } from "./chat.ts";
import { browser } from "./pages.ts";
import { Parley } from "./parley.ts";

const chromium = await browser();
const parley = await Parley.started(after, { PARLEY_MODEL: "scripted" });

/** Makes a conversation with this answer in it, called after that. */
async function talked(visit: Visit, text: string): Promise<void> {
  await visit.chat.getByRole("button", { name: "New conversation" }).click();
  await say(visit, script({ tokens: 1, text }));
  await visit.chat.locator("article.assistant").getByText(text).waitFor();
  await settled(visit);
}

async function listed(visit: Visit) {
  await visit.chat.getByRole("button", { name: "Conversations" }).click();
  const list = visit.chat.getByRole("dialog", { name: "Conversations" });
  await list.locator("li").first().waitFor();
  return list;
}

test("conversations are listed, newest first, and one of them is shown again", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  await talked(visit, "apples");
  await talked(visit, "pears");
  const list = await listed(visit);
  assert.match((await list.locator("li").first().textContent()) ?? "", /pears/);
  await flawless(visit);
  await list.locator(".pick", { hasText: "apples" }).click();
  await visit.chat.locator("article.assistant").getByText("apples").waitFor();
  assert.equal(await list.count(), 0);
});

test("a search finds what was said", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  await talked(visit, "apples");
  await talked(visit, "pears");
  const list = await listed(visit);
  await list.getByRole("searchbox").fill("apples");
  await list.locator(".pick", { hasText: "pears" }).waitFor({ state: "detached" });
  assert.equal(await list.locator("li").count(), 1);
  await list.getByRole("searchbox").fill("neither");
  await list.getByText("Nothing here yet.").waitFor();
});

test("what somebody does to a conversation is not undone by news of another", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  await talked(visit, "apples");
  const list = await listed(visit);
  await list.getByRole("button", { name: /^More for/ }).click();
  await list.getByRole("button", { name: "Rename" }).click();
  await visit.page.keyboard.type("About");
  await visit.chat.evaluate(async (node) => {
    const { client } = node as HTMLElement & {
      client: { fetch(path: string, init: { method: string; body: unknown }): Promise<unknown> };
    };
    const made = new Promise((told) => {
      (client as unknown as { on(name: string, then: () => void): void }).on("conversations", () =>
        requestAnimationFrame(told),
      );
    });
    await client.fetch("conversations", { method: "POST", body: { title: "Another one" } });
    await made;
  });
  await list.getByText("Another one").waitFor();
  await visit.page.keyboard.type(" fruit");
  await visit.page.keyboard.press("Enter");
  await list.getByText("About fruit").waitFor();
});

test("a conversation is renamed, archived and brought back", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  await talked(visit, "apples");
  const list = await listed(visit);
  await list.getByRole("button", { name: /^More for/ }).click();
  await list.getByRole("button", { name: "Rename" }).click();
  await visit.page.keyboard.type("About fruit");
  await visit.page.keyboard.press("Enter");
  await list.getByRole("button", { name: "More for “About fruit”" }).click();
  await list.getByRole("button", { name: "Archive" }).click();
  await list.getByText("Nothing here yet.").waitFor();
  await list.getByRole("checkbox", { name: "Archived" }).check();
  await list.getByRole("button", { name: "More for “About fruit”" }).click();
  await list.getByRole("button", { name: "Restore" }).click();
  await list.getByText("Nothing here yet.").waitFor();
});

test("a conversation is exported whole, and deleted only when asked twice", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  await talked(visit, "apples");
  const list = await listed(visit);
  await list.getByRole("button", { name: /^More for/ }).click();
  const download = visit.page.waitForEvent("download");
  await list.getByRole("button", { name: "Export" }).click();
  const exported = JSON.parse(await readFile(await (await download).path(), "utf8"));
  assert.match(JSON.stringify(exported), /"content":"apples"/);
  await list.getByRole("button", { name: "Delete" }).click();
  assert.equal(await list.locator("li").count(), 1);
  await list.getByRole("button", { name: "Delete for good?" }).click();
  await list.getByText("Nothing here yet.").waitFor();
  await visit.page.keyboard.press("Escape");
  await visit.chat.locator(".greeting").waitFor();
  assert.equal(await visit.messages.count(), 0, "what was deleted is not shown any more");
});

test("the list hears of what another tab does", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  await talked(visit, "apples");
  const list = await listed(visit);
  const other = await visit.page.context().newPage();
  await other.goto(visit.page.url());
  await other.locator("parley-chat textarea").fill(script({ tokens: 1, text: "from elsewhere" }));
  await other.locator("parley-chat textarea").press("Enter");
  await list.locator(".pick", { hasText: "from elsewhere" }).waitFor();
});

test("a list that cannot be had says so, above the sheet, and may be asked for again", async (t) => {
  const visit = await visited(t, chromium, parley.url, { expected: /ERR_FAILED/ });
  const { chat, page } = visit;
  await talked(visit, "apples");
  const asked = /\/conversations\?/;
  await page.route(asked, (route) => route.abort());
  await chat.getByRole("button", { name: "Conversations" }).click();
  const list = chat.getByRole("dialog", { name: "Conversations" });
  await list.getByRole("button", { name: "Try again" }).waitFor();
  assert.equal(await list.getByText("Nothing here yet.").isVisible(), false);
  await chat.getByText("The server was not reached.").click({ trial: true });
  await page.unroute(asked);
  await list.getByRole("button", { name: "Try again" }).click();
  await list.locator(".pick", { hasText: "apples" }).waitFor();
});

test("a title that stays the same ends its form, and focus stays in the list", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  const { page } = visit;
  await talked(visit, "apples");
  await talked(visit, "pears");
  const list = await listed(visit);
  for (let time = 0; time < 2; time++) {
    await list
      .getByRole("button", { name: /^More for/ })
      .first()
      .click();
    await list.getByRole("button", { name: "Rename" }).click();
    await page.keyboard.type("Fruit");
    await page.keyboard.press("Enter");
    await list.locator("form").waitFor({ state: "detached" });
    await list.locator(".pick", { hasText: "Fruit" }).waitFor();
  }
  await list.getByRole("button", { name: "More for “Fruit”" }).click();
  await list.getByRole("button", { name: "Archive" }).click();
  await list.locator(".pick", { hasText: "Fruit" }).waitFor({ state: "detached" });
  const focused = await visit.chat.evaluate((node) => node.shadowRoot?.activeElement?.textContent);
  assert.match(focused ?? "", /apples/, "with the row that stands there now");
});

test("a conversation that is deleted elsewhere says so, and takes no focus from the page", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  await talked(visit, "apples");
  await visit.page.getByRole("button", { name: "Buy" }).focus();
  await visit.chat.evaluate(async (node) => {
    const { client } = node as HTMLElementTagNameMap["parley-chat"];
    const { items } = (await client.fetch("conversations")) as { items: { id: string }[] };
    await client.fetch(`conversations/${items[0]?.id}`, { method: "DELETE" });
  });
  await visit.chat.getByText("This conversation was deleted.").waitFor();
  assert.equal(await visit.page.evaluate(() => document.activeElement?.textContent), "Buy");
});
