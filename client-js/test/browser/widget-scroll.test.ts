/** Thousands of messages in `<parley-chat>`: what is read stays where it is, and an answer that grows touches nothing else. */

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";

import type { Page } from "playwright-core";

import { type Visit, type Visiting, visited } from "./chat.ts";
import { lastFirst } from "./ends.ts";
import { browser } from "./pages.ts";
import { history, Talk } from "./talk.ts";

const LONG = process.env["PARLEY_TEST_LONG"] !== undefined;
const MANY = LONG ? 3000 : 500;

const chromium = await browser();

/** Of the browser's own record of its work. */
interface Traced {
  readonly name: string;
  readonly args: {
    readonly elementCount?: number;
    readonly beginData?: { readonly dirtyObjects?: number };
  };
}

/** Waits until so many messages have their rows. */
async function shown({ page }: Visit, messages: number): Promise<void> {
  await page.waitForFunction(
    (count) =>
      document.querySelector("parley-chat")?.shadowRoot?.querySelectorAll("article").length ===
      count,
    messages,
  );
}

async function talked(
  t: TestContext,
  messages: number,
  { shown = messages, before }: Pick<Visiting, "before"> & { readonly shown?: number } = {},
): Promise<{ readonly talk: Talk; readonly visit: Visit }> {
  const talk = await Talk.started(lastFirst(t), history(messages), { shown });
  const attributes = `inline token="t" conversation="c"`;
  const visit = await visited(t, chromium, talk.url, { attributes, ...(before && { before }) });
  await visit.chat.getByText(`Answer ${messages - 1}`).waitFor();
  return { talk, visit };
}

test(`${MANY} messages are scrolled through without a jump`, async (t) => {
  const { visit } = await talked(t, MANY);
  const jumps = await visit.chat.getByRole("log").evaluate(async (log) => {
    const root = log.getRootNode() as ShadowRoot;
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    const { left, top } = log.getBoundingClientRect();
    const found: number[] = [];
    do {
      const read = [20, 40] // one of these is in no gap
        .flatMap((y) => root.elementsFromPoint(left + 40, top + y))
        .find((element) => element.closest("article"))
        ?.closest("article");
      const stood = read?.getBoundingClientRect().top ?? Number.NaN;
      const from = log.scrollTop;
      log.scrollTop -= log.clientHeight * 0.8;
      const asked = from - log.scrollTop;
      await frame();
      await frame();
      const moved = (read?.getBoundingClientRect().top ?? 0) - stood - asked;
      if (!(Math.abs(moved) <= 8)) found.push(moved);
    } while (log.scrollTop > 0);
    return found;
  });
  assert.deepEqual(jumps, []);
  assert.equal(await visit.messages.count(), MANY);
});

test("nobody is moved who reads further up: not while older messages are built, nor by what is said meanwhile", async (t) => {
  const { talk, visit } = await talked(t, MANY);
  const log = visit.chat.getByRole("log");
  const drifts = await log.evaluateHandle(async (log) => {
    const root = log.getRootNode() as ShadowRoot;
    log.scrollTop -= 3000;
    await new Promise((done) => requestAnimationFrame(done));
    const { left, top } = log.getBoundingClientRect();
    const read = [20, 40]
      .flatMap((y) => root.elementsFromPoint(left + 40, top + y))
      .find((element) => element.closest("article"))
      ?.closest("article");
    const stood = read?.getBoundingClientRect().top ?? Number.NaN;
    const found: number[] = [];
    const look = (): void => {
      const moved = (read?.getBoundingClientRect().top ?? 0) - stood;
      if (!(Math.abs(moved) <= 1)) found.push(moved);
      requestAnimationFrame(look);
    };
    look();
    return found;
  });
  for (let n = 0; n < 30; n++) {
    talk.begin();
    for (let said = 0; said < 10; said++) talk.say("Some words, and a list:\n\n- one\n- two\n\n");
    talk.end();
  }
  await shown(visit, MANY + 60);
  assert.deepEqual(await drifts.jsonValue(), []);
});

/** Idle moments come when the page is told: `dispatchEvent(new Event("idle"))`. */
async function idleWhenTold(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const tasks: (() => void)[] = [];
    window.requestIdleCallback = (task) => tasks.push(task as () => void);
    window.addEventListener("idle", () => {
      for (const task of tasks.splice(0)) task();
    });
  });
}

for (const up of [1000, 40]) {
  test(`who moves up by ${up} px is let go at once, also when older messages are built before the browser tells of it`, async (t) => {
    const { visit } = await talked(t, 300, { before: idleWhenTold });
    await visit.chat.locator(".actions").first().waitFor(); // messages are all that they can be
    const seen = await visit.chat.getByRole("log").evaluate(async (log, up) => {
      const newest = [...log.querySelectorAll("article")].at(-1);
      const rows = () => log.querySelectorAll("article").length;
      const top = () => newest?.getBoundingClientRect().top ?? Number.NaN;
      const [stood, built] = [top(), rows()];
      const found: number[] = [];
      log.scrollTop -= up;
      for (let n = 0; n < 3; n++) {
        window.dispatchEvent(new Event("idle"));
        await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        found.push(top() - stood);
      }
      return { found, built: rows() - built };
    }, up);
    assert.deepEqual(seen, { found: [up, up, up], built: 150 });
  });
}

test("a chat that is moved about in its page stays where it was read, or at its end", async (t) => {
  const { talk, visit } = await talked(t, 200);
  await shown(visit, 200);
  const log = visit.chat.getByRole("log");
  const move = () => visit.chat.evaluate((node) => node.ownerDocument.body.prepend(node));
  const left = () => log.evaluate((node) => node.scrollHeight - node.clientHeight - node.scrollTop);
  talk.begin();
  talk.say("It begins. ");
  await visit.chat.getByText("It begins.").waitFor();
  await move();
  talk.say("It goes on.");
  await visit.chat.getByText("It goes on.").waitFor();
  assert.ok((await left()) < 1);
  const latest = visit.chat.getByRole("button", { name: "Jump to latest" });
  await log.evaluate((node) => {
    node.scrollTop -= 2000;
  });
  await latest.waitFor();
  const before = await log.evaluate((node) => node.scrollTop);
  await move();
  talk.say(" And on.");
  await visit.chat.getByText("And on.").waitFor();
  assert.equal(await log.evaluate((node) => node.scrollTop), before);
});

test("older messages are built also when what they can be comes late", async (t) => {
  const { visit } = await talked(t, 200, {
    before: async (page) => {
      await page.route(/answers/, async (route) => {
        await page.locator("article").first().waitFor();
        await route.continue();
      });
    },
  });
  await shown(visit, 200);
});

test("an answer that grows below many messages touches its own end and nothing else", async (t) => {
  const { talk, visit } = await talked(t, 200);
  await shown(visit, 200);
  talk.begin();
  talk.say("It begins. ");
  await visit.chat.getByText("It begins.").waitFor();
  const touched = await visit.chat.evaluateHandle((node) => {
    const seen = { elsewhere: [] as string[], most: 0, updates: 0 };
    new MutationObserver((records) => {
      seen.updates++;
      seen.most = Math.max(seen.most, records.length);
      for (const { target } of records) {
        const element = target instanceof Element ? target : target.parentElement;
        if (!element?.closest("article:last-child .text"))
          seen.elsewhere.push(`${element?.outerHTML}`);
      }
    }).observe(node.shadowRoot as ShadowRoot, {
      subtree: true,
      childList: true,
      characterData: true,
      attributes: true,
    });
    return seen;
  });
  for (let n = 0; n < 100; n++) talk.say(`word${n} `);
  await visit.chat.getByText("word99").waitFor();
  const { elsewhere, most, updates } = await touched.jsonValue();
  assert.deepEqual(elsewhere, []);
  assert.ok(updates > 0 && most <= 4, `${most} changes in a frame`);
});

test("what the browser does for it per frame is the same below few messages and below many", async (t) => {
  for (const messages of [2, 500]) {
    const { talk, visit } = await talked(t, messages);
    await shown(visit, messages);
    talk.begin();
    talk.say("It begins. ");
    await visit.chat.getByText("It begins.").waitFor();
    const cdp = await visit.page.context().newCDPSession(visit.page);
    const styled: number[] = [];
    const laidOut: number[] = [];
    cdp.on("Tracing.dataCollected", ({ value }) => {
      for (const { name, args } of value as unknown as readonly Traced[]) {
        if (name === "UpdateLayoutTree") styled.push(args.elementCount ?? 0);
        if (name === "Layout") laidOut.push(args.beginData?.dirtyObjects ?? 0);
      }
    });
    const categories = "devtools.timeline";
    await cdp.send("Tracing.start", { categories, transferMode: "ReportEvents" });
    for (let n = 0; n < 10; n++) {
      talk.say(`word${n} `);
      await visit.chat.getByText(`word${n} `).waitFor();
    }
    const over = new Promise((done) => cdp.once("Tracing.tracingComplete", done));
    await cdp.send("Tracing.end");
    await over;
    assert.ok(laidOut.length > 0, "the browser told what it did");
    // Where a text grew and nothing else changed there is no style to be found anew at all.
    const middle = (of: number[]) => of.sort((a, b) => a - b)[of.length >> 1] ?? 0;
    assert.ok(middle(styled) <= 4, `${middle(styled)} elements styled below ${messages}`);
    assert.ok(middle(laidOut) <= 40, `${middle(laidOut)} boxes laid out below ${messages}`);
  }
});

test("code gets its colours when it is nearly seen for the first time, and keeps them", async (t) => {
  const { visit } = await talked(t, 200);
  await shown(visit, 200);
  const coloured = (x: number) =>
    visit.chat.locator("code", { hasText: `x = ${x};` }).locator(".parley-number");
  await coloured(195).waitFor();
  assert.equal(await coloured(5).count(), 0);
  await visit.chat.getByRole("log").press("Home");
  await coloured(5).waitFor();
  assert.equal(await coloured(195).count(), 1);
});

test("older messages that are refused are not asked for again by scrolling, but by the button", async (t) => {
  const { talk, visit } = await talked(t, 200, { shown: 50 });
  talk.refuses = true;
  const log = visit.chat.getByRole("log");
  const scroll = (top: number) =>
    log.evaluate(
      (node, top) =>
        new Promise((done) => {
          node.addEventListener("scroll", () => requestAnimationFrame(done), { once: true });
          node.scrollTop = top;
        }),
      top,
    );
  await scroll(0);
  const older = visit.chat.locator("[role=log] > .plain");
  await visit.chat.locator(".notice:not([hidden])").waitFor();
  for (const top of [300, 0, 300, 0]) await scroll(top);
  assert.equal(talk.asked, 1);
  talk.refuses = false;
  await older.click();
  await visit.chat.getByText("Question 148").waitFor();
  assert.equal(talk.asked, 2);
});
