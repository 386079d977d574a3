/** `<parley-chat>` over a line that is cut. */

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { answerText, say, script, settled, visited } from "./chat.ts";
import { browser } from "./pages.ts";
import { Parley } from "./parley.ts";
import { Wire } from "./wire.ts";

const chromium = await browser();
const parley = await Parley.started(after, { PARLEY_MODEL: "scripted" });

test("what was not sent is there after a reload, and goes out once the line is back", async (t) => {
  const wire = await Wire.to(parley.port, (ends) => t.after(ends));
  const visit = await visited(t, chromium, wire.url, { expected: /./ });
  const { chat } = visit;
  await say(visit, script({ tokens: 1, text: "before" }));
  await chat.getByText("before", { exact: true }).waitFor();
  await settled(visit);
  wire.refuse();
  await chat.getByText(/No connection|Connecting/).waitFor();
  await say(visit, script({ tokens: 1, text: "later" }));
  await chat.getByText("Waiting to be sent").waitFor();
  await visit.field.press("Escape"); // it stops what is answered, and takes nothing back
  await visit.page.reload();
  await chat.getByText("Waiting to be sent").waitFor();
  wire.mend();
  await chat.getByText("later", { exact: true }).waitFor();
  await settled(visit);
  assert.equal(await visit.messages.count(), 4);
});

test("also the first message of all waits through a reload", async (t) => {
  const wire = await Wire.to(parley.port, (ends) => t.after(ends));
  wire.refuse();
  const visit = await visited(t, chromium, wire.url, { expected: /./ });
  await say(visit, script({ tokens: 1, text: "at last" }));
  await visit.chat.getByText("Waiting to be sent").waitFor();
  await visit.field.fill("a draft");
  await visit.page.reload();
  await visit.chat.getByText("Waiting to be sent").waitFor();
  assert.equal(await visit.field.inputValue(), "a draft");
  wire.mend();
  await visit.chat.getByText("at last", { exact: true }).waitFor();
  await settled(visit);
  assert.equal(await visit.messages.count(), 2);
});

test("a cut line is a state, told with a way to try now, and the answer goes on", async (t) => {
  const wire = await Wire.to(parley.port, (ends) => t.after(ends));
  const visit = await visited(t, chromium, wire.url, { expected: /./ });
  const { chat } = visit;
  await say(visit, script({ tokens: 4000, text: "word ", every_ms: 20 }));
  await chat.getByText("word word").waitFor();
  wire.refuse();
  await chat.getByText(/No connection/).waitFor();
  assert.equal(await chat.locator(".message .bad").count(), 0);
  const caret = await chat
    .locator(".live .text p")
    .last()
    .evaluate((node) => getComputedStyle(node, "::after").display);
  assert.equal(caret, "none", "nothing looks like work that nobody knows of");
  const words = (await answerText(visit)).split(" ").length;
  wire.mend();
  await chat.locator(".connection .link").dispatchEvent("click");
  await chat.getByText("word ".repeat(words + 1).trim()).waitFor();
  await visit.field.press("Escape");
  await chat.getByText("Stopped.").waitFor();
  await settled(visit);
  const stored = await chat.evaluate(async (node) => {
    const { client } = node as HTMLElementTagNameMap["parley-chat"];
    const newest = async (path: string) =>
      ((await client.fetch(`${path}?limit=1`)) as { items: { id: string; content: string }[] })
        .items[0];
    const talk = await newest("conversations");
    return (await newest(`conversations/${talk?.id}/messages`))?.content.trim();
  });
  assert.equal(await answerText(visit), stored, "whole, and nothing twice");
});
