/** `<parley-chat>` on narrow screens, in long words, and read from the right. */

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { say, script, visited } from "./chat.ts";
import { browser } from "./pages.ts";
import { Parley } from "./parley.ts";

const chromium = await browser();
const parley = await Parley.started(after, { PARLEY_MODEL: "scripted" });

test("on a phone the chat is the whole screen, and nothing behind it can be reached", async (t) => {
  const viewport = { width: 390, height: 700 };
  const visit = await visited(t, chromium, parley.url, {
    viewport,
    attributes: "",
    reducedMotion: "reduce",
  });
  await visit.chat.locator(".launcher").click();
  const box = await visit.chat.locator("dialog").boundingBox();
  assert.deepEqual(box, { x: 0, y: 0, ...viewport });
  for (let press = 0; press < 12; press++) {
    await visit.page.keyboard.press("Tab");
    const outside = await visit.page.evaluate(() => document.activeElement?.textContent === "Buy");
    assert.equal(outside, false);
  }
});

for (const lang of ["en", "de", "ar"]) {
  for (const width of [320, 390]) {
    test(`nothing is cut off at ${width} px in ${lang}`, async (t) => {
      const viewport = { width, height: 640 };
      const visit = await visited(t, chromium, parley.url, { viewport, attributes: "", lang });
      const { chat } = visit;
      await chat.locator(".launcher").click();
      const tool = { name: "wipe_everything_from_the_disk", approval: true, result: "wiped" };
      await say(visit, script({ tokens: 2, text: "Donaudampfschifffahrt".repeat(6), tool }));
      await chat.locator(".approval").waitFor();
      const beyond = await chat.evaluate((node) =>
        [...(node.shadowRoot?.querySelectorAll(".frame, .transcript, .header") ?? [])]
          .filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth)
          .map(({ className }) => className),
      );
      assert.deepEqual(beyond, []);
    });
  }
}

test("in Arabic all is mirrored but code", async (t) => {
  const visit = await visited(t, chromium, parley.url, { lang: "ar" });
  const { chat } = visit;
  await say(visit, script({ tokens: 1, tool: { name: "x", approval: true, result: "" } }));
  const box = (selector: string) => chat.locator(selector).first().boundingBox();
  const [send, field] = [await box(".stop"), await box("textarea")];
  assert.ok(send && field && send.x < field.x, "the button stands at the left");
  const written = await chat.locator(".approval pre").evaluate((node) => getComputedStyle(node));
  assert.equal(written.direction, "ltr");
});
