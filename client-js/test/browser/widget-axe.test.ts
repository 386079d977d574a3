/** axe has nothing to say about `<parley-chat>`, whatever it shows. */

import { after, test } from "node:test";

import { flawless, say, script, settled, visited } from "./chat.ts";
import { browser } from "./pages.ts";
import { Parley } from "./parley.ts";
import { Wire } from "./wire.ts";

const chromium = await browser();
const parley = await Parley.started(after, { PARLEY_MODEL: "scripted" });

const SOURCES = [{ document: "d1", title: "Timetable", snippet: "Trains go at nine." }];
const CITED = script({
  tokens: 3,
  text: "word ",
  thought: "Let me see.",
  citations: [{ start: 0, end: 4, sources: SOURCES }],
});
const ENDLESS = script({ tokens: 4000, text: "word ", every_ms: 20 });
const STARTERS = `inline starters="What is new?" greeting="Hello!"`;

for (const [name, options] of [
  ["in light", { colorScheme: "light" }],
  ["in dark", { colorScheme: "dark" }],
  ["from the right", { lang: "ar" }],
  ["on a phone", { viewport: { width: 390, height: 700 }, hasTouch: true, attributes: "" }],
] as const) {
  test(`axe finds nothing to say ${name}`, async (t) => {
    const visit = await visited(t, chromium, parley.url, { attributes: STARTERS, ...options });
    const { chat } = visit;
    if (name === "on a phone") {
      await flawless(visit);
      await chat.locator(".launcher").click();
    }
    await flawless(visit);
    await say(visit, CITED);
    await settled(visit);
    await say(visit, "no script");
    await chat.locator(".note .bad").waitFor();
    await flawless(visit);
    await chat.locator(".sources button").click();
    await flawless(visit);
  });
}

test("axe finds nothing to say while an answer streams, and while one asks", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  await say(visit, ENDLESS);
  await visit.chat.getByText("word word").waitFor();
  await flawless(visit);
  await visit.field.press("Escape");
  await settled(visit);
  const tool = { name: "wipe", arguments: { disk: "all" }, approval: true, result: "wiped" };
  await say(visit, script({ tokens: 1, tool }));
  await visit.chat.getByRole("button", { name: "Allow" }).waitFor();
  await flawless(visit);
});

test("axe finds nothing to say without a connection", async (t) => {
  const wire = await Wire.to(parley.port, (ends) => t.after(ends));
  const visit = await visited(t, chromium, wire.url, { expected: /./ });
  await say(visit, CITED);
  await settled(visit);
  wire.refuse();
  await visit.chat.getByText("No connection").waitFor();
  await say(visit, "later");
  await visit.chat.getByText("Waiting to be sent").waitFor();
  await flawless(visit);
});
