/** The tests' own tools do what the tests believe of them. */

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { lastFirst } from "./ends.ts";
import { browser, opened, site } from "./pages.ts";
import { Parley } from "./parley.ts";
import { Wire } from "./wire.ts";

const chromium = await browser();
const parley = await Parley.started(after);

async function instance(url: string): Promise<string> {
  return ((await (await fetch(`${url}/health`)).json()) as { instance: string }).instance;
}

test("a server that is killed comes back on its port, with its data", async () => {
  const { url } = parley;
  const visitors = { method: "POST", body: "{}", headers: { "Content-Type": "application/json" } };
  const visitor = async (init: RequestInit) =>
    (await (await fetch(`${url}/api/v1/visitors`, init)).json()) as Record<string, string>;
  const before = [await instance(url), await visitor(visitors)] as const;
  await parley.kill();
  await assert.rejects(fetch(url));
  await parley.start();
  assert.equal(parley.url, url);
  assert.notEqual(await instance(url), before[0]);
  const body = JSON.stringify({ renewal: before[1]["renewal"] });
  assert.equal((await visitor({ ...visitors, body }))["visitor"], before[1]["visitor"]);
});

test("a wire that is cut drops what is open, refuses, and is mended", async (t) => {
  const wire = await Wire.to(parley.port, lastFirst(t));
  const { page } = await opened(t, chromium);
  await page.goto((await site(t, "")).url);
  await page.evaluate(
    (url) =>
      new Promise((opened) => {
        const socket = new WebSocket(url, "parley.v1.json");
        const ended = new Promise((found) => {
          socket.onclose = ({ code }) => found(code);
        });
        socket.onopen = opened;
        Object.assign(globalThis, { ended });
      }),
    `${wire.url.replace("http", "ws")}/ws`,
  );
  wire.refuse();
  assert.equal(await page.evaluate("ended"), 1006);
  await assert.rejects(fetch(wire.url));
  wire.mend();
  assert.equal((await fetch(wire.url)).status, 200);
});

test("a page that errs, throws or violates its policy is told of", async (t) => {
  const meta = `<meta http-equiv="Content-Security-Policy" content="img-src 'none'">`;
  const script = `console.error("a word"); new Image().src = "/x.png"; throw new Error("a throw");`;
  const other = await site(t, `${meta}<script>${script}</script>`);
  const { page, seen } = await opened(t, chromium, { expected: /./ });
  const thrown = page.waitForEvent("pageerror");
  await page.goto(other.url);
  await thrown;
  await page.evaluate(() => new Promise(requestAnimationFrame));
  const troubles = seen.troubles.join("\n");
  for (const each of [/error: a word/, /exception: a throw/, /violation of img-src/]) {
    assert.match(troubles, each);
  }
  assert.deepEqual([...seen.requests.keys()], [other.url]);
});

test("what a test began is ended from the last to the first", async (t) => {
  const ended: number[] = [];
  await t.test("for pages lean on their server", (inner) => {
    for (const number of [1, 2, 3]) lastFirst(inner)(async () => void ended.push(number));
  });
  assert.deepEqual(ended, [3, 2, 1]);
});
