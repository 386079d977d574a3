/** Whatever becomes of the server while it answers: what the page shows is what is stored, once. */

import assert from "node:assert/strict";
import { after, test } from "node:test";

import type { Page } from "playwright-core";

import { answerText, say, script, settled, visited } from "./chat.ts";
import { browser } from "./pages.ts";
import { Parley } from "./parley.ts";

const KILLS = process.env["PARLEY_TEST_LONG"] === undefined ? 3 : 50;
/** A server that was killed has lost its log: so many of the newest messages are shown then. */
const SNAPSHOT = 50;
const NETWORK = /ERR_CONNECTION_(REFUSED|RESET|CLOSED)|WebSocket connection|ERR_EMPTY_RESPONSE/;
const chromium = await browser();
const parley = await Parley.started(after, { PARLEY_MODEL: "scripted", PARLEY_SCRIPTED: "1" });

type Chat = HTMLElement & {
  readonly client: {
    reconnect(): void;
    fetch(path: string): Promise<{ readonly items: readonly Stored[] }>;
  };
};

interface Stored {
  readonly id: string;
  readonly content: string;
  readonly outcome: string;
}

/** The conversation's newest answer as the server has stored it. */
async function stored(page: Page): Promise<Stored> {
  return page.evaluate(async () => {
    const { client } = document.querySelector("parley-chat") as Chat;
    const { items } = await client.fetch("conversations?limit=1");
    const rows = await client.fetch(`conversations/${items[0]?.id}/messages?limit=1`);
    return rows.items.at(-1) as Stored;
  });
}

test(`a server that is killed ${KILLS} times while it answers`, {
  timeout: KILLS * 30_000,
}, async (t) => {
  const visit = await visited(t, chromium, parley.url, { expected: NETWORK });
  const outcomes = new Map<string, number>();
  for (let round = 1; round <= KILLS; round++) {
    const words = 5 + ((round * 17) % 40); // where the kill comes
    await say(visit, script({ tokens: 120, text: `${round}w `, every_ms: 8 }));
    await visit.chat
      .locator("article.assistant")
      .last()
      .getByText(`${round}w `.repeat(words).trim())
      .waitFor();
    await parley.kill();
    await parley.start();
    // Its own delay may have grown to some seconds by now.
    await visit.page.evaluate(() =>
      (document.querySelector("parley-chat") as Chat).client.reconnect(),
    );
    await settled(visit);
    const { content, outcome } = await stored(visit.page);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    assert.equal(await answerText(visit), content.trim(), `round ${round}: ${outcome}`);
    assert.match(content, new RegExp(`^(${round}w )*$`));
    const shown = Math.min(2 * round, SNAPSHOT);
    assert.equal(
      await visit.messages.count(),
      shown,
      "nothing is shown twice, and nothing missing",
    );
  }
  t.diagnostic(`${KILLS} kills: ${JSON.stringify([...outcomes])}`);
});
