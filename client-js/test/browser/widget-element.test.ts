/** The element in the hands of a page or of its framework: set again, moved about, asked to send at any time. */

import assert from "node:assert/strict";
import { after, test } from "node:test";

import type { Locator } from "playwright-core";

import type { ChatMessage, ParleyClient } from "../../src/index.ts";
import type { Room } from "../../src/widget/room.ts";
import { answerText, connected, FILES, say, script, settled, type Visit, visited } from "./chat.ts";
import { browser, imported } from "./pages.ts";
import { Parley } from "./parley.ts";

type Answers = typeof import("../../src/widget/answers.ts");
type Chat = HTMLElementTagNameMap["parley-chat"];

const chromium = await browser();
const parley = await Parley.started(after, { PARLEY_MODEL: "scripted" });
const WORD = script({ tokens: 1, text: "word" });
const LATE = /closed before the connection is established/;

async function send(chat: Locator, text: string): Promise<void> {
  await chat.evaluate((node, said) => (node as Chat).send(said), text);
}

/** What was said by the person, oldest first. */
async function said({ chat }: Visit): Promise<readonly string[]> {
  return chat.locator("article.user .text").allTextContents();
}

test("what a page sends during an edit is a message of its own, and the edit goes on", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  const { chat, field } = visit;
  await say(visit, WORD);
  await settled(visit);
  await chat.locator("article.user").hover();
  await chat.getByRole("button", { name: "Edit" }).click();
  await field.fill("half an edit");
  await send(chat, WORD);
  await chat.locator("article.user").nth(1).waitFor();
  await settled(visit);
  assert.deepEqual(await said(visit), [WORD, WORD]);
  assert.equal(await field.inputValue(), "half an edit");
  await chat.locator(".editing").waitFor();
});

test("what a page sends leaves alone what is being written, also for after a reload", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  await visit.field.fill("a draft");
  await send(visit.chat, WORD);
  await settled(visit);
  assert.equal(await visit.field.inputValue(), "a draft");
  await visit.page.reload();
  await visit.messages.first().waitFor();
  assert.equal(await visit.field.inputValue(), "a draft");
});

test("what a page sends while the chat is closed is sent, and is there when it is opened", async (t) => {
  const visit = await visited(t, chromium, parley.url, { attributes: "" });
  await send(visit.chat, WORD);
  await visit.messages.nth(1).waitFor({ state: "attached" });
  await visit.chat.locator(".launcher").click();
  await settled(visit);
  assert.equal(await answerText(visit), "word");
});

test("what a page sends before the element stands anywhere is sent once it does", async (t) => {
  const visit = await visited(t, chromium, parley.url, { expected: LATE });
  await visit.chat.evaluate((node, text) => {
    const early = document.createElement("parley-chat");
    early.setAttribute("inline", "");
    early.setAttribute("url", node.getAttribute("url") ?? "");
    early.send(text);
    node.replaceWith(early);
  }, WORD);
  await visit.messages.nth(1).waitFor();
  await settled(visit);
  assert.equal(await answerText(visit), "word");
});

test("an edit that failed and is taken back is still an edit", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  const { chat, field } = visit;
  await say(visit, WORD);
  await settled(visit);
  await chat.locator("article.user").hover();
  await chat.getByRole("button", { name: "Edit" }).click();
  await field.fill("x".repeat(40_000));
  await field.press("Enter");
  await chat.locator(".note .bad").waitFor();
  await chat.locator(".note").getByRole("button", { name: "Edit" }).click();
  await field.fill(WORD);
  await field.press("Enter");
  await chat.locator("article.user .version").waitFor();
  await settled(visit);
  assert.deepEqual(await said(visit), [WORD]);
});

test("a client that the page brought is used again when the element is put in again", async (t) => {
  const visit = await visited(t, chromium, parley.url, { expected: LATE });
  await say(visit, WORD);
  await settled(visit);
  const kept = await visit.chat.evaluate(async (node) => {
    const chat = node as Chat;
    const { client } = chat;
    const other = document.createElement("parley-chat");
    other.setAttribute("inline", "");
    other.client = client;
    const place = node.parentElement;
    place?.append(other);
    other.remove();
    await new Promise((done) => setTimeout(done));
    place?.append(other);
    const states: unknown[] = [];
    other.addEventListener("parley-state", (event) => states.push((event as CustomEvent).detail));
    client.close();
    return [other.client === client, states.length];
  });
  assert.deepEqual(kept, [true, 1]);
});

test("an element that takes another's place goes on with the same client and conversation", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  await say(visit, WORD);
  await settled(visit);
  await visit.chat.evaluate(async (node) => {
    const { client } = node as Chat;
    const { items } = (await client.fetch("conversations?limit=1")) as { items: { id: string }[] };
    const url = node.getAttribute("url") ?? "";
    const shared = new (client.constructor as typeof ParleyClient)({ url });
    const made = () => {
      const chat = document.createElement("parley-chat");
      chat.setAttribute("inline", "");
      chat.setAttribute("conversation", items[0]?.id ?? "");
      chat.client = shared;
      return chat;
    };
    const first = made();
    node.replaceWith(first);
    first.replaceWith(made());
  });
  await visit.messages.nth(1).waitFor();
  await say(visit, WORD);
  await visit.messages.nth(3).waitFor();
  await settled(visit);
  assert.equal(await answerText(visit), "word");
});

test("a framework that sets everything again at each rendering tears nothing down", async (t) => {
  const visit = await visited(t, chromium, parley.url, { expected: LATE });
  const { chat, seen } = visit;
  const set = () =>
    chat.evaluate((node) => {
      const token = async () => {
        const url = `${node.getAttribute("url")}api/v1/visitors`;
        const headers = { "Content-Type": "application/json" };
        const response = await fetch(url, { method: "POST", headers, body: "{}" });
        return (await response.json()).token;
      };
      Object.assign(node, { token, starters: ["One?"], strings: { send: "Go" } });
    });
  await set();
  await chat.getByRole("button", { name: "Go" }).waitFor();
  await say(visit, WORD);
  await settled(visit);
  const sockets = () => seen.requests.get(parley.url.replace("http", "ws"));
  const before = sockets();
  await visit.field.fill("a draft");
  const panel = await chat.locator(".panel").elementHandle();
  for (let times = 0; times < 3; times++) await set();
  assert.equal(await panel?.evaluate((node) => node.isConnected), true);
  assert.equal(sockets(), before);
  await chat.evaluate((node) => Object.assign(node, { starters: ["Two?"] }));
  await chat.locator(".panel").waitFor();
  assert.equal(await panel?.evaluate((node) => node.isConnected), false, "another value counts");
  assert.equal(await visit.field.inputValue(), "a draft");
});

test("who comes after somebody else in the same tab finds neither their draft nor their conversation", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  await say(visit, WORD);
  await settled(visit);
  await visit.field.fill("a secret");
  await visit.page.reload();
  await settled(visit);
  await visit.messages.nth(1).waitFor();
  assert.equal(await visit.field.inputValue(), "a secret", "they themselves do");
  await visit.page.evaluate(() => localStorage.clear());
  await visit.page.reload();
  await visit.chat.locator(".greeting").waitFor();
  await connected(visit.chat);
  assert.equal(await visit.field.inputValue(), "");
  assert.equal(await visit.messages.count(), 0);
});

test("a conversation that was left is followed until its answer has ended, and no longer", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  const { chat } = visit;
  await say(visit, script({ tokens: 4000, text: "word ", every_ms: 20 }));
  await chat.getByText("word word").waitFor();
  const types = await chat.evaluateHandle((node) => {
    const { client } = node as Chat;
    const types: string[] = [];
    client.on("frame", ({ frame }) => {
      if (frame.type === "complete" || frame.type === "detach") types.push(frame.type);
      if (frame.type === "chunk" && types.at(-1) !== "chunk") types.push("chunk");
    });
    return types;
  });
  await chat.getByRole("button", { name: "New conversation" }).click();
  await chat.locator(".greeting").waitFor();
  // It still comes; only then it ends, for somebody stops it.
  await types.evaluate((all) => all.splice(0));
  await visit.page.waitForFunction((all) => all[0] === "chunk", types);
  await chat.evaluate(async (node) => {
    const { client } = node as Chat;
    const { items } = (await client.fetch("conversations?limit=1")) as { items: { id: string }[] };
    await client.conversation(items[0]?.id).stop();
  });
  await visit.page.waitForFunction((all) => all.includes("detach"), types);
  assert.deepEqual(await types.jsonValue(), ["chunk", "complete", "detach"]);
});

test("what waits in other conversations is sent after a reload too", async (t) => {
  const own = await Parley.started(t.after.bind(t), { PARLEY_MODEL: "scripted" });
  const visit = await visited(t, chromium, own.url, { expected: /./ });
  await say(visit, WORD);
  await settled(visit);
  await own.kill();
  await say(visit, script({ tokens: 1, text: "first" }));
  await visit.chat.getByRole("button", { name: "New conversation" }).click();
  await say(visit, script({ tokens: 1, text: "second" }));
  await visit.page.reload();
  await own.start();
  await visit.chat.evaluate((node) => (node as Chat).client.reconnect());
  await visit.chat.getByRole("button", { name: "Conversations" }).click();
  const rows = visit.chat.locator(".list li");
  await rows.nth(1).waitFor();
  await rows.locator(".pick:not([aria-current])").click();
  await visit.chat.locator("article.assistant .text").getByText("first").waitFor();
});

test("what a site sets wrongly leaves the chat as it is", async (t) => {
  const attributes = 'inline logo="http://[" image-origins="nonsense"';
  const visit = await visited(t, chromium, parley.url, { attributes, lang: "en_US" });
  await visit.chat.locator(".greeting").waitFor();
  await visit.chat.evaluate((node) =>
    node.setAttribute("image-origins", `nonsense ${location.origin.toUpperCase()}/path`),
  );
  const image = await visit.page.evaluate(() => `![A](${location.origin}/icon.svg)`);
  await say(visit, script({ tokens: 1, text: image }));
  await settled(visit);
  await visit.chat.locator(".text img").waitFor({ state: "attached" });
});

test("code that is whole has colours", async (t) => {
  const visit = await visited(t, chromium, parley.url);
  await say(visit, script({ tokens: 1, text: "```js\nconst a = 'b'; // 1\n```" }));
  await settled(visit);
  const code = visit.chat.locator("pre code");
  await code.locator(".parley-keyword").waitFor();
  const [whole, ...pieces] = await code.evaluate((node) =>
    [node, ...node.children].map((one) => one.textContent),
  );
  assert.equal(whole?.trim(), "const a = 'b'; // 1");
  assert.deepEqual(pieces, ["const", "'b'", "// 1"]);
  const colours = await code.evaluate((node) =>
    [node, ...node.children].map((one) => getComputedStyle(one).color),
  );
  assert.equal(new Set(colours).size, 4);
});

test("a question is all that says that an answer waits, also before it is told to be parked", async (t) => {
  const { page } = await visited(t, chromium, parley.url);
  const name = [...FILES.keys()].find((one) => one.startsWith("parts/answers-"));
  const part = await imported<Answers>(page, `/${name}`);
  const signs = await part.evaluate(({ Row }) => {
    const language = { locale: "en", direction: "ltr", t: (text: string) => text } as const;
    const room = { language, name: "Chat", imageOrigins: [] } as unknown as Room;
    const call = { call: "t", name: "wipe", state: "awaiting_approval" };
    const message = { id: "a", role: "assistant", content: "", state: "tool", siblings: ["a"] };
    const row = new Row(message as unknown as ChatMessage, room);
    const shown = () =>
      [".dots", "[part=approval]"].map((one) => row.element.querySelectorAll(one).length);
    const before = shown();
    row.update({ ...message, tools: [call] } as unknown as ChatMessage);
    return [before, shown()];
  });
  assert.deepEqual(signs, [
    [1, 0],
    [0, 1],
  ]);
});

test("the frame and the footer are parts that a page can reach", async (t) => {
  const { chat, page } = await visited(t, chromium, parley.url);
  await page.evaluate(() => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(
      "parley-chat::part(frame){border-width:7px}parley-chat::part(footer){padding-top:9px}",
    );
    document.adoptedStyleSheets = [sheet];
  });
  const styleOf = (part: string, property: string) =>
    chat
      .locator(`[part="${part}"]`)
      .evaluate((node, name) => getComputedStyle(node).getPropertyValue(name), property);
  assert.equal(await styleOf("frame", "border-top-width"), "7px");
  assert.equal(await styleOf("footer", "padding-top"), "9px");
});
