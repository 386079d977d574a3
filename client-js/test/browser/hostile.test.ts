/**
 * Nothing that a model or a server says runs in the reader's page, asks anybody for anything, or leads a click anywhere
 * but to the web. Shown first of the Markdown alone, in a page without any policy that would help it; then of the whole
 * chat under a strict one, with the real server, and with one that is hostile itself.
 */

import assert from "node:assert/strict";
import { resolve } from "node:path";
import { after, type TestContext, test } from "node:test";

import type { JSHandle, Page } from "playwright-core";

import { bundled } from "../../scripts/bundle.ts";
import type * as markdown from "../../src/markdown/index.ts";
import { dice } from "../chance.ts";
import { FakeServer } from "../fakeServer.ts";
import { say, script, settled, type Visit, visited } from "./chat.ts";
import { HOSTILE, sendable, WORDS } from "./hostileAnswers.ts";
import { browser, imported, opened, site } from "./pages.ts";
import { Parley } from "./parley.ts";

type Markdown = typeof markdown;

const SHORT = 120; // is cut at every position; what is longer, at some
const SEED = 20261122;
const DOT = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>';
const LEADS = /^(?:https?:\/\/|mailto:|tel:)[!-~]+$/;

const chromium = await browser();
const parley = await Parley.started(after, { PARLEY_MODEL: "scripted" });
const module = Buffer.from(await bundled(resolve("."), "src/markdown/index.ts"));

/** What ran in a page, and what it asked for. */
interface Watch {
  readonly ran: string[];
  /** All that was asked for from here on, once everything asked for has been told. */
  asked(): Promise<string[]>;
}

/** Watches a page from now on; what begins like one of `own` is asked for by right. */
async function watching(page: Page, ...own: readonly string[]): Promise<Watch> {
  const ran: string[] = [];
  const asked: string[] = [];
  const note = (url: string) => own.some((begin) => url.startsWith(begin)) || asked.push(url);
  page.context().on("request", (request) => note(request.url()));
  page.on("websocket", (socket) => note(socket.url()));
  page.on("popup", (popup) => asked.push(`a window: ${popup.url()}`));
  page.on("download", (download) => asked.push(`a download: ${download.url()}`));
  page.on("framenavigated", (frame) => asked.push(`a place: ${frame.url()}`));
  page.on("dialog", (dialog) => {
    ran.push(dialog.message());
    void dialog.dismiss();
  });
  await page.exposeFunction("ran", () => void ran.push("ran()"));
  await page.route("**/the-last", (route) =>
    route.fulfill({ contentType: "image/svg+xml", body: DOT }),
  );
  return {
    ran,
    asked: async () => {
      // Requests are told in their order: once this one is, all before it were.
      const last = page.waitForEvent("requestfinished", (request) =>
        /\/the-last$/.test(request.url()),
      );
      await page.evaluate(async () => {
        for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
        new Image().src = "/the-last"; // which the page's policy allows it
      });
      await last;
      return asked.filter((url) => !url.endsWith("/the-last"));
    },
  };
}

/** Where a text is cut: at every position if it is short, else at some that chance picks, always the same. */
function cuts(text: string, chance: ReturnType<typeof dice>): readonly number[][] {
  const every = Array.from({ length: text.length }, (_, at) => at);
  if (text.length <= SHORT) return [every, ...every.map((at) => [at])];
  const some = () => Array.from({ length: 8 }, () => chance.upTo(text.length));
  return Array.from({ length: 40 }, () => some().sort((one, other) => one - other));
}

/** Streams a text in pieces into elements of the page; what is wrong with what they became. */
function streamed(
  { MarkdownView }: Markdown,
  { text, cuts, leads }: { text: string; cuts: readonly number[][]; leads: string },
): Promise<string[]> {
  const wrong = new Set<string>();
  const allowed = new RegExp(leads);
  const shown = (at: readonly number[]): HTMLElement => {
    const root = document.body.appendChild(document.createElement("div"));
    const view = new MarkdownView(root);
    for (const cut of at) {
      view.update(text.slice(0, cut));
      judge(root);
    }
    view.finish(text);
    judge(root);
    return root;
  };
  const judge = (root: HTMLElement): void => {
    for (const element of root.querySelectorAll("*")) {
      if (
        /^(?:script|img|iframe|svg|style|link|meta|base|form|object|embed)$/.test(element.localName)
      )
        wrong.add(element.localName);
      for (const { name, value } of element.attributes) {
        if (/^(?:on|style|src|srcdoc|ping|action|id|name)/.test(name))
          wrong.add(`${name}=${value}`);
        if (name !== "href") continue;
        const link = element as HTMLAnchorElement;
        const [rel, target, title] = [link.rel, link.target, link.title];
        if (!allowed.test(value) || title !== value || target !== "_blank")
          wrong.add(`${value} as ${title} in ${target}`);
        if (!/noopener.*noreferrer/.test(rel)) wrong.add(rel);
      }
    }
  };
  const whole = shown([]);
  for (const at of cuts) {
    if (!shown(at).isEqualNode(whole)) wrong.add(`another end, cut at ${at}`);
  }
  // What an element does when it is there, it does before the next frame but one.
  return new Promise((done) =>
    requestAnimationFrame(() => {
      document.body.replaceChildren();
      done([...wrong]);
    }),
  );
}

async function bare(
  t: TestContext,
  expected = /^(?!)/,
): Promise<{ page: Page; view: JSHandle<Markdown> }> {
  const { page } = await opened(t, chromium, { expected });
  await page.goto((await site(t, "<!doctype html><body>")).url);
  const url = `data:text/javascript;base64,${module.toString("base64")}`;
  return { page, view: await imported<Markdown>(page, url) };
}

test("there are tricks, and who falls for them is seen to", async (t) => {
  assert.ok(new Set(HOSTILE).size >= 300);
  const { page } = await bare(t, /./);
  await page.route(/evil\.example/, (route) => route.abort());
  const watch = await watching(page);
  await page.evaluate((texts) => {
    for (const text of texts) {
      const naive = text.replace(/!\[[^\]]*\]\(([^)]*)\)/g, "<img src='$1'>");
      if (!/meta|base/.test(text))
        document.body.appendChild(document.createElement("div")).innerHTML = naive;
    }
  }, HOSTILE);
  const asked = await watch.asked();
  assert.ok(watch.ran.length >= 10, `${watch.ran.length} ran`);
  assert.ok(asked.filter((url) => url.includes("evil.example")).length >= 10, `${asked}`);
});

test("an answer in any pieces runs nothing and asks for nothing, with no policy to keep it", async (t) => {
  const { page, view } = await bare(t);
  const watch = await watching(page);
  const chance = dice(SEED);
  const long = [HOSTILE.join("\n\n"), HOSTILE.join(" "), HOSTILE.join("")];
  for (const text of [...HOSTILE, ...long]) {
    const pieces = { text, cuts: cuts(text, chance), leads: LEADS.source };
    assert.deepEqual(await view.evaluate(streamed, pieces), [], JSON.stringify(text));
  }
  assert.deepEqual(await watch.asked(), []);
  assert.deepEqual(watch.ran, []);
});

test("only a click asks: a link opens a place that knows nothing of this one, an image comes from where it said", async (t) => {
  const { page, view } = await bare(t);
  await page
    .context()
    .route(/evil\.example/, (route) =>
      route.fulfill({ contentType: "text/html", body: "<title>evil</title>" }),
    );
  const watch = await watching(page);
  await view.evaluate(
    ({ MarkdownView }, text) => new MarkdownView(document.body).finish(text),
    "[good](https://evil.example/?q=1) ![a](https://evil.example/p.png) [m](mailto:a@b.example) [t](tel:+1)",
  );
  assert.deepEqual(await watch.asked(), []);
  const [popup] = await Promise.all([page.waitForEvent("popup"), page.click("text=good")]);
  await popup.waitForLoadState();
  assert.equal(popup.url(), "https://evil.example/?q=1");
  assert.deepEqual(await popup.evaluate(() => [opener, document.referrer]), [null, ""]);
  await popup.close();
  const image = page.waitForRequest("https://evil.example/p.png");
  await page.click("button");
  assert.equal(await (await image).headerValue("referer"), null);
  assert.deepEqual(watch.ran, []);
});

/** What the chat asks for by right: its server, and its own parts from where the page has the widget. */
function served({ page }: Visit, server: string): readonly string[] {
  return [`${server}/`, `${server.replace("http", "ws")}/`, new URL("parts/", page.url()).href];
}

/** Opens whatever in the chat can be opened, and closes it again. */
async function everythingOpened({ chat, page }: Visit): Promise<void> {
  await chat.evaluate((node) => {
    for (const one of node.shadowRoot?.querySelectorAll("details") ?? []) one.open = true;
  });
  for (const source of await chat.locator("[part=sources] button").all()) {
    await source.click();
    await chat.getByRole("dialog").waitFor();
    await page.keyboard.press("Escape");
  }
}

/** Nothing is in the chat but what it made itself, and links lead to the web. */
async function clean({ chat }: Visit): Promise<void> {
  const found = await chat.evaluate((node, leads) => {
    const all = [...(node.shadowRoot?.querySelectorAll("*") ?? [])];
    const is = /^(?:script|img|iframe|style|link|meta|base|object|embed|animate|use|parley-chat)$/;
    return [
      ...all.filter(({ localName }) => is.test(localName)).map(({ localName }) => localName),
      ...all
        .flatMap(({ attributes }) => [...attributes].map(({ name }) => name))
        .filter((name) => /^on/.test(name)),
      ...all
        .flatMap((one) => one.getAttribute("href") ?? [])
        .filter((href) => !new RegExp(leads).test(href)),
    ];
  }, LEADS.source);
  assert.deepEqual(found, []);
}

test("through the real server the chat runs nothing and asks for nothing", async (t) => {
  const visit = await visited(t, chromium, parley.url, { expected: /404/ });
  await visit.chat.locator("[role=log]").waitFor();
  const watch = await watching(visit.page, ...served(visit, parley.url));
  const [bits, size] = [HOSTILE, 45];
  for (let at = 0; at < bits.length; at += size) {
    const some = sendable(bits.slice(at, at + size).join("\n\n"));
    const word = WORDS[(at / size) % WORDS.length] as string;
    const source = { document: "d1", title: word, snippet: word, url: "javascript:ran()" };
    const sources = [source, { ...source, document: "d2", url: "https://evil.example/?q=1" }];
    const tool = { name: "look", arguments: { [word]: WORDS }, approval: true, result: word };
    const citations = [{ start: 0, end: 1, sources }];
    const asks = at === 0 ? { tool, at: 0 } : {};
    await say(visit, script({ tokens: 1, text: some, citations, thought: some, ...asks }));
    if (at === 0) await visit.chat.getByRole("button", { name: "Allow" }).click();
    await visit.chat.locator("[role=log][aria-busy=true]").waitFor({ state: "detached" });
    await visit.chat
      .locator("[part=sources]")
      .nth(at / size)
      .waitFor();
    await settled(visit);
  }
  await everythingOpened(visit);
  await clean(visit);
  assert.deepEqual(await watch.asked(), []);
  assert.deepEqual(watch.ran, []);
});

const SERVER = "http://hostile.example";
const WORD = WORDS.join(" ");
const ROW = {
  id: "c9",
  title: WORD,
  last_message: WORD,
  status: "active",
  leaf: null,
  message_count: 2,
  created_at: "2026-11-20T09:30:00.000Z",
  updated_at: "2026-11-20T09:30:00.000Z",
} as const;
const SOURCES = [
  "javascript:ran()",
  "data:text/html,x",
  "//evil.example",
  "https://evil.example/?q=1",
].map((url, at) => ({
  document: `${at}`,
  title: WORD,
  snippet: WORD,
  start: at,
  end: at + 1,
  url,
}));

/** A chat whose server is the tests' own, which says what no server of ours would. */
async function deceived(
  t: TestContext,
): Promise<{ visit: Visit; server: FakeServer; watch: Watch }> {
  const server = new FakeServer();
  const json = (body: unknown) => ({ json: body, headers: { "Access-Control-Allow-Origin": "*" } });
  const name = WORD.replaceAll("&", "&amp;").replaceAll('"', "&quot;");
  const visit = await visited(t, chromium, SERVER, {
    attributes: `inline token="t" name="${name}"`,
    expected: /500/,
    before: async (page) => {
      await page.routeWebSocket(/hostile\.example/, (route) => {
        const socket = new server.socketClass(route.url(), []);
        Object.assign(socket, { onmessage: ({ data }: { data: string }) => route.send(data) });
        route.onMessage((data) => socket.send(`${data}`));
      });
      await page.route(`${SERVER}/**`, (route) =>
        /documents/.test(route.request().url())
          ? route.fulfill(json({ text: WORD }))
          : /c9/.test(route.request().url())
            ? route.fulfill({
                status: 500,
                ...json({ error: { code: WORD, message: WORD, retryable: false, trace: WORD } }),
              })
            : route.fulfill(json({ items: [ROW], next_cursor: null })),
      );
    },
  });
  const watch = await watching(visit.page, ...served(visit, SERVER));
  return { visit, server, watch };
}

test("a server that is hostile itself gets no further: names, sources, titles, notices and errors are words", async (t) => {
  const { visit, server, watch } = await deceived(t);
  const { chat, page } = visit;
  const chance = dice(SEED);
  await say(visit, WORD);
  await chat.locator("article.assistant").waitFor();
  const [conversation] = server.logs.keys();
  assert.ok(conversation);
  const answer = server.newest;
  const of = { conversation, answer };
  server.tell({ type: "thought", ...of, offset: 0, text: WORD });
  for (const [at, state] of (["awaiting_approval", "done", "failed", "unknown"] as const).entries())
    server.tell({
      ...{ type: "tool", ...of, call: `t${at}`, name: WORD, state },
      ...{ arguments: { [WORD]: [WORD] }, args_hash: WORD, result: WORD, expires_at: WORD },
    });
  const text = HOSTILE.join("\n\n");
  for (let at = 0; at < text.length; ) {
    const size = 1 + chance.upTo(40);
    server.say(text.slice(at, at + size));
    at += size;
    if (chance() < 0.05) await page.evaluate(() => new Promise(requestAnimationFrame));
  }
  for (const [at, source] of SOURCES.entries())
    server.tell({ type: "citation", ...of, start: 0, end: at * 50, sources: [source] });
  server.tellAll({ type: "notice", reason: WORD as "maintenance", text: WORD });
  await chat.getByText("<script>ran()</script>").first().waitFor();
  server.end();
  await settled(visit);
  await everythingOpened(visit);
  await clean(visit);
  server.refusals = [{ type: "chat", code: WORD as "internal", retryable: false, times: 1 }];
  await say(visit, WORD);
  await chat.getByRole("button", { name: "Try again" }).waitFor();
  await chat.getByRole("button", { name: "Conversations" }).click();
  await chat.locator(".pick").first().waitFor();
  server.tellAll({ type: "conversations", conversation: { ...ROW, id: "c8" }, change: "created" });
  await chat.locator(".pick").nth(1).waitFor();
  await chat.locator("li button[aria-expanded]").last().click();
  await chat.getByRole("button", { name: "Archive", exact: true }).last().click();
  await clean(visit);
  assert.deepEqual(await watch.asked(), []);
  assert.deepEqual(watch.ran, []);
});
