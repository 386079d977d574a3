/** What the chat loads later: held up, gone after an upgrade, or not wanted at all. */

import assert from "node:assert/strict";
import { after, test } from "node:test";

import type { Page, Route } from "playwright-core";

import { answerText, FILES, flawless, say, script, settled, visited } from "./chat.ts";
import { browser } from "./pages.ts";
import { Parley } from "./parley.ts";

const chromium = await browser();
const parley = await Parley.started(after, { PARLEY_MODEL: "scripted" });
const BOLD = script({ tokens: 1, text: "a **bold** word" });
const CLOSED = { attributes: "" };

/** A part as the server would have it after an upgrade, and the addresses that were asked for. */
async function gone(page: Page, name: string, times: number): Promise<readonly string[]> {
  const asked: string[] = [];
  await page.route(`**/parts/${name}-*`, async (route: Route) => {
    asked.push(new URL(route.request().url()).pathname + new URL(route.request().url()).search);
    if (asked.length > times) await route.continue();
    else await route.fulfill({ status: 404, body: "" });
  });
  return asked;
}

/** Cuts the waits between attempts short. */
async function online(page: Page): Promise<void> {
  await page.evaluate(() => dispatchEvent(new Event("online")));
}

test("the first file begins nothing but itself, and every part is whole", () => {
  const [first, ...parts] = [...FILES.values()].map((file) => Buffer.from(file).toString());
  for (const text of [first ?? "", ...parts]) assert.doesNotMatch(text, /\b(?:import|from)\s*["']/);
  for (const text of parts) assert.doesNotMatch(text, /\bimport\s*\(/);
  assert.equal([...FILES.keys()].filter((name) => first?.includes(`"./${name}"`)).length, 4);
});

test("before the chat is opened no part is asked for, and no language that is not wanted", async (t) => {
  const { page, chat, field } = await visited(t, chromium, parley.url, CLOSED);
  const asked: string[] = [];
  page.on("request", (request) => asked.push(request.url()));
  await page.reload();
  await page.waitForLoadState("networkidle");
  assert.equal(asked.filter((url) => url.includes("/parts/")).length, 0);
  const answers = page.waitForRequest(/\/parts\/answers-/);
  await chat.locator(".launcher").click();
  await field.waitFor();
  await answers;
  assert.equal(asked.filter((url) => /\/parts\/(?!answers-)/.test(url)).length, 0);
});

test("an answer that is faster than what it is shown with is plain text until then", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  const { page, chat } = visit;
  let release = () => {};
  const held = new Promise<void>((done) => {
    release = done;
  });
  await page.route("**/parts/answers-*", async (route) => {
    await held;
    await route.continue();
  });
  await page.reload();
  await say(visit, BOLD);
  await chat.getByText("a **bold** word", { exact: true }).waitFor();
  await settled(visit);
  await say(visit, "a draft that nothing takes away");
  await visit.field.fill("what is being written");
  release();
  await chat.locator(".assistant .text strong").first().waitFor();
  assert.equal(await visit.field.inputValue(), "what is being written");
  await settled(visit);
  const said = await visit.messages.locator(".text").allTextContents();
  assert.deepEqual(said.slice(0, 3), [BOLD, "a bold word", "a draft that nothing takes away"]);
});

test("a part that is gone is asked for under fresh addresses, and meanwhile the chat goes on and says so", async (t) => {
  const visit = await visited(t, chromium, parley.url, { expected: /parts\/answers/ });
  const { page, chat } = visit;
  const asked = await gone(page, "answers", 2);
  await page.reload();
  await say(visit, BOLD);
  await chat.getByText("a **bold** word", { exact: true }).waitFor();
  await settled(visit);
  await flawless(visit);
  while (asked.length < 2)
    await Promise.all([page.waitForResponse(/parts\/answers/), online(page)]);
  const told = chat.locator(".notice").getByText("Answers are shown as plain text");
  await told.waitFor();
  await online(page);
  await chat.locator(".assistant .text strong").waitFor();
  await told.waitFor({ state: "hidden" });
  assert.equal(await answerText(visit), "a bold word");
  assert.equal(new Set(asked).size, 3, "no address that failed is asked for again");
});

test("a list that cannot be had is told of, and may be asked for again", async (t) => {
  const visit = await visited(t, chromium, parley.url, { expected: /parts\/list/ });
  const { page, chat } = visit;
  await gone(page, "list", 2);
  const button = chat.getByRole("button", { name: "Conversations" });
  await button.click();
  await chat.locator(".notice").getByText("That could not be loaded.").waitFor();
  await say(visit, BOLD);
  await settled(visit);
  await button.click();
  await chat.locator(".list li").waitFor();
});

test("in a language whose texts are late the chat begins in English, and goes on in it once they are there", async (t) => {
  const options = { lang: "de", expected: /parts\/de/ };
  const visit = await visited(t, chromium, parley.url, options);
  const { page, chat, field } = visit;
  await gone(page, "de", 2);
  await page.reload();
  await chat.getByRole("button", { name: "New conversation" }).waitFor();
  await field.fill("ein Entwurf");
  await online(page);
  await chat.getByRole("button", { name: "Neue Unterhaltung" }).waitFor();
  assert.equal(await field.inputValue(), "ein Entwurf");
});
