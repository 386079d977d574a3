/** Long histories in `<parley-chat>`: pages, and a reader whom nothing moves. */

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { say, script, settled, type Visit, visited } from "./chat.ts";
import { browser } from "./pages.ts";
import { Parley } from "./parley.ts";

const EXCHANGES = 120;

const chromium = await browser();
const parley = await Parley.started(after, {
  PARLEY_MODEL: "scripted",
  PARLEY_LIMITS_MESSAGES_PER_MINUTE: "1000000",
});

/** A talk of so many exchanges, shown anew. */
async function longTalk(visit: Visit): Promise<void> {
  await visit.chat.evaluate(async (node, count) => {
    const { client } = node as HTMLElementTagNameMap["parley-chat"];
    const talk = client.conversation();
    for (let n = 0; n < count; n++) {
      const text = `Answer ${n}. ${"Some words to fill a line or two. ".repeat(1 + (n % 7))}`;
      await talk.send(JSON.stringify({ tokens: 1, text })).done;
    }
    node.setAttribute("conversation", talk.id ?? "");
  }, EXCHANGES);
  const newest = visit.chat.locator("article.assistant").getByText(`Answer ${EXCHANGES - 1}.`);
  await newest.waitFor();
  await visit.page.reload();
  await newest.waitFor();
}

test("the newest are shown at once, older ones come as one reads upwards, without a jump", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  await longTalk(visit);
  assert.equal(await visit.messages.count(), 50);
  const jumps = await visit.chat.evaluate(async (node) => {
    const root = node.shadowRoot as ShadowRoot;
    const log = root.querySelector("[role=log]") as HTMLElement;
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    const found: unknown[] = [];
    const place = () => ({
      top: log.scrollTop,
      height: log.scrollHeight,
      rows: root.querySelectorAll("article").length,
      asleep: root.querySelectorAll(".asleep").length,
    });
    for (
      let step = 0;
      step < 400 &&
      !(
        log.scrollTop === 0 && !node.shadowRoot?.querySelector("[role=log] > .plain:not([hidden])")
      );
      step++
    ) {
      const { top, bottom } = log.getBoundingClientRect();
      const seen = [...root.querySelectorAll("article")].find((row) => {
        const box = row.getBoundingClientRect();
        return box.top > top && box.top < bottom;
      });
      const before = seen?.getBoundingClientRect().top ?? 0;
      const from = log.scrollTop;
      log.scrollTop -= 150;
      const asked = from - log.scrollTop;
      const then = place();
      await frame();
      await frame();
      const moved = (seen?.getBoundingClientRect().top ?? 0) - before;
      if (seen?.isConnected && Math.abs(moved - asked) > 8)
        found.push({ step, by: moved - asked, from, then, now: place() });
    }
    return found;
  });
  assert.deepEqual(jumps, []);
  assert.equal(await visit.messages.count(), 2 * EXCHANGES);
});

test("whoever reads further up stays there while an answer grows, and can jump to its end", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  const { chat } = visit;
  await longTalk(visit);
  await say(visit, script({ tokens: 600, text: "word ", every_ms: 4 }));
  await chat.getByText("word word").last().waitFor();
  const log = chat.getByRole("log");
  await log.evaluate((node) => {
    node.scrollTop -= 600;
  });
  const latest = chat.getByRole("button", { name: "Jump to latest" });
  await latest.waitFor();
  const place = () => log.evaluate(({ scrollTop }) => scrollTop);
  const before = await place();
  await settled(visit);
  assert.equal(await place(), before);
  await latest.click();
  assert.equal(
    await log.evaluate((node) => node.scrollHeight - node.clientHeight - node.scrollTop < 2),
    true,
  );
});
