/** The served client in a page of another site that is let in. */

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { browser, imported, opened, site } from "./pages.ts";
import { Parley } from "./parley.ts";

type Client = typeof import("../../src/index.ts");

const chromium = await browser();
const parley = await Parley.started(after);

test("a page of another origin that is let in imports the client and streams an answer", async (t) => {
  const other = await site(t, "");
  const { page, seen } = await opened(t, chromium);
  await page.goto(other.url);
  const client = await imported<Client>(page, `${parley.url}/client.js`);
  const text = await client.evaluate(async ({ ParleyClient }, url) => {
    const answer = new ParleyClient({ url }).connect().conversation().send("hello");
    let shown = "";
    for await (const { text } of answer) shown = text;
    await answer.done;
    return shown;
  }, parley.url);
  assert.match(text, /hello/);
  assert.deepEqual(
    new Set(seen.requests.keys()),
    new Set([other.url, parley.url, parley.url.replace("http", "ws")]),
  );
});
