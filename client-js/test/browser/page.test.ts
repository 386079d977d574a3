/** A page that is left and come back to, as browsers keep it whole meanwhile. */

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { browser, imported, opened, site, WHOLE } from "./pages.ts";
import { Parley } from "./parley.ts";

type Client = typeof import("../../src/index.ts");
type Held = {
  readonly parley: InstanceType<Client["ParleyClient"]>;
  readonly states: string[];
  readonly back: Promise<boolean>;
};

// Playwright turns the cache off, for it makes pages outlive what it knows of them.
const chromium = await browser({
  executablePath: WHOLE,
  ignoreDefaultArgs: ["--disable-back-forward-cache"],
});
const parley = await Parley.started(after);

test("a page with a connection is kept as it is when it is left, and is connected again when it is back", async (t) => {
  const { url } = await site(t, "");
  const { page } = await opened(t, chromium);
  await page.goto(`${url}/shop`);
  const client = await imported<Client>(page, `${parley.url}/client.js`);
  await client.evaluate(async ({ ParleyClient }, url) => {
    const parley = new ParleyClient({ url }).connect();
    const states: string[] = [];
    parley.on("state", ({ state }) => states.push(state));
    const back = new Promise<boolean>((seen) => {
      addEventListener("pageshow", ({ persisted }) => seen(persisted));
    });
    await parley.conversation().send("hello").done;
    Object.assign(globalThis, { held: { parley, states, back } });
  }, parley.url);
  await page.goto(`${url}/elsewhere`);
  await page.goBack({ waitUntil: "commit" });
  const found = await page.evaluate(async () => {
    const { parley, states, back } = (globalThis as unknown as { held: Held }).held;
    const kept = await back;
    const { content } = await parley.conversation().send("again").done;
    return { kept, states, content };
  });
  assert.match(found.content, /again/);
  assert.deepEqual([found.kept, found.states], [true, ["open", "waiting", "connecting", "open"]]);
});
