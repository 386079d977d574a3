/** A talk in `<parley-chat>`, with the real server at the other end. */

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { answerText, say, script, settled, type Visit, visited } from "./chat.ts";
import { browser } from "./pages.ts";
import { Parley } from "./parley.ts";

const chromium = await browser();
const parley = await Parley.started(after, { PARLEY_MODEL: "scripted" });

/** What screen readers are told from now on. */
async function announced({ page }: Visit): Promise<readonly string[]> {
  const said: string[] = [];
  await page.exposeFunction("hearSaid", (text: string) => said.push(text));
  await page.evaluate(() => {
    const { hearSaid } = globalThis as unknown as { hearSaid(text: string): void };
    Object.assign(Element.prototype, { ariaNotify: hearSaid });
  });
  return said;
}

test("a finished answer is told in words that do not run together", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  const said = await announced(visit);
  const citations = [{ start: 0, end: 5, sources: [{ document: "d", title: "D" }] }];
  await say(visit, script({ tokens: 1, text: "First\n\n- one\n- two", citations }));
  await settled(visit);
  await visit.chat.locator(".sources").waitFor();
  assert.match(said.at(-1) ?? "", /^First\s+one\s+two$/);
});

test("an answer streams in, whole and once", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  await say(visit, script({ tokens: 40, text: "word ", every_ms: 5 }));
  await settled(visit);
  assert.equal(await answerText(visit), "word ".repeat(40).trim());
  assert.equal(await visit.messages.count(), 2);
  assert.equal(await visit.chat.locator("details").count(), 0, "of no reasoning there is no word");
});

test("Escape stops an answer, and its beginning stays", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  await say(visit, script({ tokens: 4000, text: "word ", every_ms: 20 }));
  await visit.chat.getByText("word word").waitFor();
  await visit.field.press("Escape");
  await visit.chat.getByText("Stopped.").waitFor();
  await settled(visit);
  assert.match(await answerText(visit), /^(word )+word$/);
});

test("another answer stands beside the first, and one can go back and forth", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  const { chat } = visit;
  await say(visit, script({ tokens: 2, text: "word " }));
  await settled(visit);
  await chat.getByRole("button", { name: "Answer again" }).click();
  await chat.getByText("2 / 2").waitFor();
  await settled(visit);
  const said = await announced(visit);
  await chat.getByRole("button", { name: "Previous version" }).click();
  await chat.getByText("1 / 2").waitFor();
  assert.deepEqual(said, [], "what is only looked at again is not news");
  assert.equal(await visit.messages.count(), 2);
  const focused = await chat.evaluate((node) =>
    node.shadowRoot?.activeElement?.getAttribute("aria-label"),
  );
  assert.equal(focused, "Previous version", "focus stays on the button that was pressed");
});

test("an edited message is a version beside the first, and the draft is there again", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  const { chat, field } = visit;
  await say(visit, script({ tokens: 1, text: "first" }));
  await chat.getByText("first", { exact: true }).waitFor();
  await settled(visit);
  await field.fill("a draft");
  await visit.messages.first().hover();
  await chat.getByRole("button", { name: "Edit" }).click();
  await chat.getByText("Editing your message").waitFor();
  await field.fill(script({ tokens: 1, text: "second" }));
  await field.press("Enter");
  await chat.getByText("second", { exact: true }).waitFor();
  await settled(visit);
  assert.equal(await field.inputValue(), "a draft");
  assert.equal(await chat.getByText("2 / 2").count(), 1);
});

test("a reload shows the conversation again, and its running answer can be stopped", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  await say(visit, script({ tokens: 4000, text: "word ", every_ms: 20 }));
  await visit.chat.getByText("word word").waitFor();
  await visit.page.reload();
  await visit.chat.getByText("word word").waitFor();
  await visit.chat.getByRole("button", { name: "Stop" }).click();
  await visit.chat.getByText("Stopped.").waitFor();
  await settled(visit);
});

test("a message that is too long says so and can be written anew", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  await say(visit, "x".repeat(40_000));
  await visit.chat.getByText("Not sent. The message is too long.").waitFor();
  await visit.chat.getByRole("button", { name: "Edit" }).click();
  assert.equal((await visit.field.inputValue()).length, 40_000);
  assert.equal(await visit.messages.count(), 0);
});

test("a conversation that is gone gives way to a new one", async (t) => {
  const visit = await visited(t, chromium, parley.url, {
    attributes: 'inline conversation="c_00000000000000000000000000"',
  });
  await visit.chat.getByText("This conversation is not available.").waitFor();
  await say(visit, script({ tokens: 1, text: "anew" }));
  await visit.chat.getByText("anew", { exact: true }).waitFor();
});
