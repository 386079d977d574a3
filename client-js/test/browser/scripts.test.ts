/** What pages of other sites can do with the server's scripts, and with nothing else of it. */

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { ENTRIES } from "../../scripts/entries.ts";
import { browser, opened, site } from "./pages.ts";
import { Parley } from "./parley.ts";

const chromium = await browser();
const parley = await Parley.started(after);

for (const { served } of ENTRIES) {
  if (served === undefined) continue;

  test(`/${served} is a module that a page of any origin may load`, async (t) => {
    const other = await site(t, "", "shop.example");
    const { page } = await opened(t, chromium);
    await page.goto(other.url);
    await page.evaluate(
      (href) =>
        new Promise((loaded, failed) => {
          const link = document.createElement("link");
          Object.assign(link, { rel: "modulepreload", crossOrigin: "anonymous", href });
          Object.assign(link, { onload: loaded, onerror: () => failed(new Error(href)) });
          document.head.append(link);
        }),
      `${parley.url}/${served}`,
    );
  });
}

test("a page that is not let in may read nothing but the scripts", async (t) => {
  const other = await site(t, "", "shop.example");
  const { page } = await opened(t, chromium, { expected: /CORS policy|403|ERR_FAILED/ });
  await page.goto(other.url);
  const read = (path: string) =>
    page.evaluate(async (url) => {
      try {
        return (await fetch(url)).status;
      } catch {
        return "refused";
      }
    }, parley.url + path);
  assert.equal(await read("/demo.js"), 200);
  for (const path of ["/", "/health", "/asyncapi.json", "/api/v1/visitors"]) {
    assert.equal(await read(path), "refused");
  }
});
