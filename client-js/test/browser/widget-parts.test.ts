/** What the chat loads later: held up, gone after an upgrade, or not wanted at all. */

import assert from "node:assert/strict";
import { after, test } from "node:test";

import type { Locator, Page, Route } from "playwright-core";

import {
  answerText,
  connected,
  FILES,
  flawless,
  say,
  script,
  settled,
  type Visit,
  visited,
} from "./chat.ts";
import { browser } from "./pages.ts";
import { Parley } from "./parley.ts";

const chromium = await browser();
const parley = await Parley.started(after, { PARLEY_MODEL: "scripted" });
const BOLD = script({ tokens: 1, text: "a **bold** word" });
const CLOSED = { attributes: "" };

interface Late {
  /** The addresses that were asked for. */
  readonly asked: readonly string[];
  /** Lets go what is not gone: until then it is on its way. */
  readonly release: () => void;
}

/** A part that so many times is gone, as after an upgrade of the server, and then late. */
async function late(page: Page, name: string, times = 0): Promise<Late> {
  const asked: string[] = [];
  let release = () => {};
  const held = new Promise<void>((done) => {
    release = done;
  });
  await page.route(`**/parts/${name}-*`, async (route: Route) => {
    asked.push(new URL(route.request().url()).pathname + new URL(route.request().url()).search);
    if (asked.length <= times) return route.fulfill({ status: 404, body: "" });
    await held;
    await route.continue();
  });
  return { asked, release };
}

/** What the answer to BOLD is as long as nothing can format it. */
function bare({ chat }: Visit): Locator {
  // Beside it there is what the announcer has just told.
  return chat.locator("article.assistant").getByText("a **bold** word", { exact: true });
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
  const { release } = await late(page, "answers");
  await page.reload();
  await say(visit, BOLD);
  await bare(visit).waitFor();
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
  const { asked, release } = await late(page, "answers", 2);
  await page.reload();
  await say(visit, BOLD);
  await bare(visit).waitFor();
  await settled(visit);
  await flawless(visit);
  await online(page);
  const told = chat.locator(".notice").getByText("Answers are shown as plain text");
  await told.waitFor();
  release();
  await online(page);
  await chat.locator(".assistant .text strong").waitFor();
  await told.waitFor({ state: "hidden" });
  assert.equal(await answerText(visit), "a bold word");
  assert.equal(new Set(asked).size, 3, "no address that failed is asked for again");
});

test("a list that cannot be had is told of, and may be asked for again", async (t) => {
  const visit = await visited(t, chromium, parley.url, { expected: /parts\/list/ });
  const { page, chat } = visit;
  const { release } = await late(page, "list", 2);
  release();
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
  const { release } = await late(page, "de", 2);
  await page.reload();
  await chat.getByRole("button", { name: "New conversation" }).waitFor();
  await field.fill("ein Entwurf");
  release();
  await online(page);
  await chat.getByRole("button", { name: "Neue Unterhaltung" }).waitFor();
  assert.equal(await field.inputValue(), "ein Entwurf");
  assert.equal(
    await chat.evaluate((node) => node.shadowRoot?.activeElement?.tagName),
    "TEXTAREA",
    "who is writing writes on",
  );
});

test("texts that have come by another way are not waited for any more", async (t) => {
  const visit = await visited(t, chromium, parley.url, { lang: "de", expected: /parts\/de/ });
  const { page, chat } = visit;
  const { release } = await late(page, "de", 2);
  release();
  await page.reload();
  await chat.getByRole("button", { name: "New conversation" }).waitFor();
  await chat.evaluate((node) => node.setAttribute("name", "Helferin"));
  await chat.getByRole("button", { name: "Neue Unterhaltung" }).waitFor();
  const panel = await chat.locator(".panel").elementHandle();
  await online(page);
  assert.equal(await panel?.evaluate((node) => node.isConnected), true, "nothing is built anew");
});

test("taken out while its texts are on their way, it is whole when it is put in again", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  const { page, chat } = visit;
  await connected(chat);
  const { release } = await late(page, "de");
  const asked = page.waitForRequest(/parts\/de/);
  await chat.evaluate((node) => node.setAttribute("locale", "de"));
  await asked;
  const element = await chat.elementHandle();
  const came = page.waitForResponse(/parts\/de/);
  await element?.evaluate((node) => node.remove());
  release();
  await (await came).finished();
  await page.evaluate((node) => node && document.body.append(node), element);
  await chat.getByRole("button", { name: "Neue Unterhaltung" }).waitFor();
  await chat.evaluate((node) => node.setAttribute("name", "Helferin"));
  await chat.getByRole("heading", { name: "Helferin" }).waitFor();
});
