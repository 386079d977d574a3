/** `<parley-chat>` in somebody's page: what the page sets, does and hears. */

import assert from "node:assert/strict";
import { after, test } from "node:test";

import type { Page, WebSocket } from "playwright-core";

import { VARIABLES } from "../../src/widget/variables.ts";
import { connected, say, script, settled, visited } from "./chat.ts";
import { browser } from "./pages.ts";
import { Parley } from "./parley.ts";

const chromium = await browser();
const parley = await Parley.started(after, { PARLEY_MODEL: "scripted" });
const WORD = script({ tokens: 1, text: "word" });

const SEEN = [
  ...["color", "background-color", "border-bottom-color", "border-radius", "box-shadow"],
  ...["font-family", "font-size", "width", "height", "right", "z-index"],
];

/** Collects the element's events of these names, as far as JSON can say them. */
async function heard(page: Page, ...names: readonly string[]): Promise<readonly unknown[][]> {
  const events: unknown[][] = [];
  await page.exposeFunction("hear", (name: string, detail: unknown) => events.push([name, detail]));
  await page.evaluate((all) => {
    const { hear } = globalThis as unknown as { hear(name: string, detail: unknown): void };
    for (const name of all) {
      addEventListener(name, (event) =>
        hear(name, JSON.parse(JSON.stringify((event as CustomEvent).detail))),
      );
    }
  }, names);
  return events;
}

test("nothing is asked of the server before the chat is opened", async (t) => {
  const { page, seen, chat, field } = await visited(t, chromium, parley.url, { attributes: "" });
  await page.waitForLoadState("networkidle");
  assert.equal(seen.requests.has(parley.url), false);
  const asked = page.waitForRequest(`${parley.url}/api/v1/visitors`);
  await chat.getByRole("button", { name: "Open chat" }).click();
  await field.waitFor();
  await asked;
});

test("preconnect asks before that", async (t) => {
  const { chat } = await visited(t, chromium, parley.url, { attributes: "preconnect" });
  await connected(chat);
});

test("a page may look at a message first, and keep it from being sent", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  await visit.chat.evaluate((node) =>
    node.addEventListener("parley-send", (event) => event.preventDefault(), { once: true }),
  );
  await say(visit, WORD);
  assert.equal(await visit.field.inputValue(), WORD, "the text stays");
  await visit.field.press("Enter");
  await settled(visit);
  assert.equal(await visit.messages.count(), 2);
});

test("a page can open, send, stop and close, and hears of all of it", async (t) => {
  const visit = await visited(t, chromium, parley.url, { attributes: "" });
  const { page, chat } = visit;
  const events = await heard(page, "parley-open", "parley-message");
  await chat.evaluate((node, text) => {
    const element = node as HTMLElementTagNameMap["parley-chat"];
    element.open();
    element.send(text);
  }, WORD);
  await settled(visit);
  await chat.evaluate((node) => (node as HTMLElementTagNameMap["parley-chat"]).close());
  assert.equal(await chat.locator("dialog[open]").count(), 0);
  const told = events.map(([name, detail]) => {
    const { open, role, content } = detail as Record<string, unknown>;
    return [name, open ?? [role, content]];
  });
  assert.deepEqual(told, [
    ["parley-open", true],
    ["parley-message", ["user", WORD]],
    ["parley-message", ["assistant", "word"]],
    ["parley-open", false],
  ]);
});

test("properties that were set before the module ran are taken over", async (t) => {
  // The first element goes before it was connected.
  const expected = /closed before the connection is established/;
  const { chat } = await visited(t, chromium, parley.url, { expected });
  const taken = await chat.evaluate((node) => {
    const late = document.createElement("parley-chat");
    Object.defineProperty(late, "starters", { value: ["One?", "Two?"], configurable: true });
    late.setAttribute("inline", "");
    late.setAttribute("url", node.getAttribute("url") ?? "");
    node.replaceWith(late);
    return [...(late.shadowRoot?.querySelectorAll(".starter") ?? [])].map((one) => one.textContent);
  });
  assert.deepEqual(taken, ["One?", "Two?"]);
});

test("moving the element keeps its connection and what is written", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  const { chat, seen, field } = visit;
  await say(visit, WORD);
  await settled(visit);
  await field.fill("a draft");
  await chat.evaluate((node) => document.querySelector("main")?.append(node));
  assert.equal(await field.inputValue(), "a draft");
  await say(visit, WORD);
  await settled(visit);
  assert.equal(seen.requests.get(parley.url.replace("http", "ws")), 1);
});

test("taken out for good, the element closes its connection", async (t) => {
  const sockets: Promise<WebSocket>[] = [];
  const visit = await visited(t, chromium, parley.url, {
    before: async (page) => void sockets.push(page.waitForEvent("websocket")),
  });
  const closed = (await sockets[0])?.waitForEvent("close");
  await connected(visit.chat); // of one that never opened no end is told
  await visit.chat.evaluate((node) => node.remove());
  await closed;
});

test("what a page changes at the element as it takes it out is there when it is put in again", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  const { chat, page } = visit;
  await connected(chat);
  const element = await chat.elementHandle();
  await element?.evaluate((node) => {
    node.remove();
    node.setAttribute("name", "One");
  });
  await page.evaluate((node) => node && document.body.append(node), element);
  await chat.getByRole("heading", { name: "One" }).waitFor();
  await chat.evaluate((node) => node.setAttribute("name", "Two"));
  await chat.getByRole("heading", { name: "Two" }).waitFor();
});

test("a change by the page leaves the focus with the page, or in the chat", async (t) => {
  const visit = await visited(t, chromium, parley.url, { attributes: "" });
  const { chat, page, field } = visit;
  await chat.locator(".launcher").click();
  const focused = () =>
    page.evaluate(() => {
      const { activeElement } = document;
      return activeElement?.shadowRoot?.activeElement?.tagName ?? activeElement?.tagName;
    });
  await page.getByRole("button", { name: "Buy" }).focus();
  await chat.evaluate((node) => node.setAttribute("name", "One"));
  await chat.getByRole("heading", { name: "One" }).waitFor();
  assert.equal(await focused(), "BUTTON");
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Buy");
  await field.focus();
  await chat.evaluate((node) => node.setAttribute("name", "Two"));
  await chat.getByRole("heading", { name: "Two" }).waitFor();
  assert.equal(await focused(), "TEXTAREA");
});

test("loading the module twice is no error", async (t) => {
  const beside = '<script type="module" src="/widget.js?first"></script>';
  const { field } = await visited(t, chromium, parley.url, { beside });
  await field.waitFor();
});

test("a page's texts and language go before the shipped ones", async (t) => {
  const { page, chat } = await visited(t, chromium, parley.url, { lang: "de-AT" });
  await chat.getByRole("button", { name: "Neue Unterhaltung" }).waitFor();
  await chat.evaluate((node) => {
    Object.assign(node, { strings: { new: "Von vorn" } });
  });
  await chat.getByRole("button", { name: "Von vorn" }).waitFor();
  await chat.evaluate((node) => node.setAttribute("locale", "ar"));
  await chat.locator(".panel[dir=rtl][lang=ar]").waitFor();
  assert.equal(await page.locator("parley-chat").count(), 1);
});

test("a logo from elsewhere is not asked for", async (t) => {
  for (const [logo, count] of [
    ["https://elsewhere.example/logo.svg", 0],
    ["icon.svg", 1],
  ] as const) {
    const { chat } = await visited(t, chromium, parley.url, {
      attributes: `inline logo="${logo}"`,
      expected: /icon\.svg/,
    });
    await chat.locator(".greeting").waitFor();
    assert.equal(await chat.locator("img.logo").count(), count);
  }
});

test("every documented variable changes what is seen", async (t) => {
  const attributes = `starters="What is new?"`;
  const visit = await visited(t, chromium, parley.url, { attributes });
  await visit.chat.locator(".launcher").click();
  const source = { document: "d", title: "T", snippet: "s" };
  const cited = script({
    tokens: 1,
    text: "`a` b",
    citations: [{ start: 0, end: 5, sources: [source] }],
  });
  await say(visit, cited);
  await settled(visit);
  await say(visit, "no script");
  await visit.chat.locator(".note .bad").waitFor();
  await visit.chat.locator(".sources button").click();
  const values: Record<string, string> = {
    font: "serif",
    "code-font": "serif",
    "font-size": "23px",
    radius: "3px",
    width: "333px",
    height: "444px",
    inset: "7px",
    shadow: "none",
    "z-index": "5",
  };
  const ineffective = await visit.chat.evaluate(
    (node, [names, given, properties]) => {
      const look = (): string =>
        [...(node.shadowRoot?.querySelectorAll("*") ?? [])]
          .map((one) => {
            const style = getComputedStyle(one);
            return properties.map((property) => style.getPropertyValue(property)).join();
          })
          .join("\n");
      const before = look();
      return names.filter((name) => {
        (node as HTMLElement).style.setProperty(`--parley-${name}`, given[name] ?? "rgb(1, 2, 3)");
        const same = look() === before;
        (node as HTMLElement).style.removeProperty(`--parley-${name}`);
        return same;
      });
    },
    [Object.keys(VARIABLES), values, SEEN] as const,
  );
  assert.deepEqual(ineffective, []);
});

test("the theme is the page's choice, else the person's", async (t) => {
  const { chat } = await visited(t, chromium, parley.url, { colorScheme: "dark" });
  const background = () =>
    chat.locator(".frame").evaluate((node) => getComputedStyle(node).backgroundColor);
  const dark = await background();
  await chat.evaluate((node) => node.setAttribute("theme", "light"));
  assert.notEqual(await background(), dark);
  await chat.evaluate((node) => node.setAttribute("theme", "dark"));
  assert.equal(await background(), dark);
});

test("the page's own header, welcome and footer stand in their slots", async (t) => {
  const { chat, page } = await visited(t, chromium, parley.url);
  await page.evaluate(() => {
    for (const slot of ["header", "empty", "footer"]) {
      const own = document.createElement("p");
      own.slot = slot;
      own.textContent = `our ${slot}`;
      document.querySelector("parley-chat")?.append(own);
    }
  });
  for (const slot of ["header", "empty", "footer"]) await page.getByText(`our ${slot}`).waitFor();
  assert.equal(await chat.locator(".greeting").isVisible(), false);
});

test("what comes while the chat is closed shows at its button, until it is opened", async (t) => {
  const visit = await visited(t, chromium, parley.url, { attributes: "" });
  const { chat, page } = visit;
  await chat.locator(".launcher").click();
  await page.getByRole("button", { name: "Buy" }).focus();
  await chat.evaluate((node, text) => {
    const element = node as HTMLElementTagNameMap["parley-chat"];
    element.close();
    element.send(text);
  }, WORD);
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Buy");
  await chat.getByRole("button", { name: "Open chat, new message" }).click();
  await visit.field.press("Escape");
  await chat.getByRole("button", { name: "Open chat", exact: true }).waitFor();
});

test("what is written in the chat, or done there by a key, is no shortcut of the page", async (t) => {
  const visit = await visited(t, chromium, parley.url, { attributes: "" });
  const { chat, page, field } = visit;
  await chat.locator(".launcher").click();
  await page.evaluate(() => {
    for (const type of ["keydown", "keypress", "keyup"])
      addEventListener(type, ({ key }: KeyboardEventInit) => (document.title += ` ${key}`));
  });
  await field.press("j");
  await field.press("Control+b");
  await field.press("Escape");
  await chat.locator("dialog[open]").waitFor({ state: "hidden" });
  const keys = (await page.title()).replace("A shop", "").split(" ");
  assert.deepEqual(
    keys.filter((key) => key === "j"),
    [],
  );
  assert.ok(keys.includes("b"), "with Control it may be");
});

test("the way back of a phone goes from a sheet to the talk first, then to the page", async (t) => {
  const viewport = { width: 390, height: 700 };
  const visit = await visited(t, chromium, parley.url, {
    attributes: "",
    viewport,
    hasTouch: true,
  });
  const { chat } = visit;
  await chat.locator(".launcher").click();
  await chat.getByRole("button", { name: "Conversations" }).click();
  const sheet = chat.getByRole("dialog", { name: "Conversations" });
  await sheet.waitFor();
  const back = () =>
    chat.locator("dialog.frame").evaluate((node) => node.dispatchEvent(new Event("cancel")));
  await back();
  assert.equal(await sheet.count(), 0);
  assert.equal(await chat.locator("dialog[open]").count(), 1);
  await back();
  assert.equal(await chat.locator("dialog[open]").count(), 0);
});

test("a chat that the page closes over a sheet opens with the talk, and takes no focus meanwhile", async (t) => {
  const { chat, page, field } = await visited(t, chromium, parley.url, { attributes: "" });
  await chat.locator(".launcher").click();
  await chat.getByRole("button", { name: "Conversations" }).click();
  await chat.getByRole("dialog", { name: "Conversations" }).waitFor();
  await page.getByRole("button", { name: "Buy" }).focus();
  await chat.evaluate((node) => (node as HTMLElementTagNameMap["parley-chat"]).close());
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Buy");
  await chat.locator(".launcher").click();
  assert.equal(await chat.getByRole("dialog", { name: "Conversations" }).count(), 0);
  await field.press("j");
  assert.equal(await field.inputValue(), "j");
});

test("a phone that is turned keeps the focus and what is written", async (t) => {
  const visit = await visited(t, chromium, parley.url, {
    attributes: "",
    viewport: { width: 700, height: 390 },
  });
  await visit.chat.locator(".launcher").click();
  await visit.chat.getByRole("button", { name: "New conversation" }).focus();
  await visit.page.setViewportSize({ width: 390, height: 700 });
  await visit.chat.locator("dialog:modal").waitFor();
  const focused = await visit.chat.evaluate((node) => node.shadowRoot?.activeElement?.ariaLabel);
  assert.equal(focused, "New conversation");
});

test("a question of the page's that is pressed leaves the focus in the chat", async (t) => {
  const visit = await visited(t, chromium, parley.url, {
    attributes: `inline starters="What is new?"`,
  });
  await visit.chat.getByRole("button", { name: "What is new?" }).click();
  await visit.chat.locator("article").first().waitFor();
  assert.equal(
    await visit.chat.evaluate((node) => node.shadowRoot?.activeElement?.tagName),
    "TEXTAREA",
  );
});
