/** A page under the processor of a slow phone, and what it tells of its own work. */

import type { Browser, CDPSession, Page } from "playwright-core";
import { history, Talk } from "../test/browser/talk.ts";
import { type Frames, PROBE, type Probe } from "./probe.ts";
import { type Renderer, page as served } from "./site.ts";

const PER_SECOND = 200;

/** Main thread, in ms. */
export interface Work {
  readonly task: number;
  readonly script: number;
  readonly style: number;
  readonly layout: number;
}

export type Streamed = Work & Frames;

declare const probe: Probe; // in the page

export class Visit {
  readonly talk: Talk;
  readonly page: Page;
  readonly #cdp: CDPSession;
  readonly #slower: number;
  readonly #ends: (() => Promise<void>)[];

  private constructor(
    talk: Talk,
    page: Page,
    cdp: CDPSession,
    slower: number,
    ends: (() => Promise<void>)[],
  ) {
    this.talk = talk;
    this.page = page;
    this.#cdp = cdp;
    this.#slower = slower;
    this.#ends = ends;
  }

  /** A page that has not been gone to yet. */
  static async prepared(browser: Browser, messages: number, slower: number): Promise<Visit> {
    const ends: (() => Promise<void>)[] = [];
    const talk = await Talk.started((end) => ends.push(end), history(messages), { page: served });
    const context = await browser.newContext({ viewport: { width: 420, height: 720 } });
    ends.push(() => context.close());
    const page = await context.newPage();
    const cdp = await context.newCDPSession(page);
    await cdp.send("Performance.enable");
    return new Visit(talk, page, cdp, slower, ends.reverse());
  }

  /** A page that shows so many messages and is at rest. */
  static async shown(
    browser: Browser,
    renderer: Renderer,
    messages: number,
    slower: number,
  ): Promise<Visit> {
    const visit = await Visit.prepared(browser, messages, slower);
    await visit.go(renderer);
    await visit.complete(messages);
    await visit.page.waitForTimeout(500);
    return visit;
  }

  async end(): Promise<void> {
    for (const end of this.#ends) await end();
  }

  async go(renderer: Renderer): Promise<void> {
    await this.page.goto(`${this.talk.url}/${renderer}`);
    await this.page.evaluate(PROBE);
  }

  /** From now on the processor is so many times slower. */
  async slow(): Promise<void> {
    await this.#cdp.send("Emulation.setCPUThrottlingRate", { rate: this.#slower });
  }

  /** 1.6 Mbit/s, and 150 ms there and back. */
  async far(): Promise<void> {
    await this.#cdp.send("Network.enable");
    await this.#cdp.send("Network.emulateNetworkConditions", {
      offline: false,
      latency: 150,
      downloadThroughput: 200_000,
      uploadThroughput: 200_000,
    });
  }

  /** How long after `from` there were `count` rows on the screen, in ms. */
  async complete(count: number, from = 0): Promise<number> {
    return this.page.evaluate(
      ([count, from]) =>
        new Promise<number>((done) => {
          const look = (): void => {
            if (probe.rows() >= count) done(performance.now() - from);
            else requestAnimationFrame(look);
          };
          look();
        }),
      [count, from] as const,
    );
  }

  async work(): Promise<Work> {
    const { metrics } = await this.#cdp.send("Performance.getMetrics");
    const ms = (name: string): number =>
      1000 * (metrics.find((one) => one.name === name)?.value ?? Number.NaN);
    return {
      task: ms("TaskDuration"),
      script: ms("ScriptDuration"),
      style: ms("RecalcStyleDuration"),
      layout: ms("LayoutDuration"),
    };
  }

  /** What the script holds once all that it dropped is gone, in MB. */
  async heap(): Promise<number> {
    await this.#cdp.send("HeapProfiler.enable");
    await this.#cdp.send("HeapProfiler.collectGarbage");
    const { usedSize } = await this.#cdp.send("Runtime.getHeapUsage");
    return usedSize / 2 ** 20;
  }

  /** Streams for so many seconds chunks of so many characters, 200 per second, and what that cost per chunk. */
  async stream(seconds: number, characters: number): Promise<Streamed> {
    await this.slow();
    this.talk.begin();
    await this.#feed(0.5, characters);
    const before = await this.work();
    await this.page.evaluate(() => probe.watch());
    const chunks = await this.#feed(seconds, characters);
    const frames = await this.page.evaluate(() => probe.watched());
    const after = await this.work();
    this.talk.end();
    const per = (name: keyof Work): number => (after[name] - before[name]) / chunks;
    return {
      ...frames,
      task: per("task"),
      script: per("script"),
      style: per("style"),
      layout: per("layout"),
    };
  }

  /** From a key in the host's own field to the next paint while an answer streams: the slowest but one in twenty, in ms. */
  async keys(count: number): Promise<number> {
    await this.slow();
    await this.page.getByLabel("host").focus();
    await this.page.evaluate(() => probe.listen());
    this.talk.begin();
    let over = false;
    const feeding = (async () => {
      while (!over) await this.#feed(0.2, 4);
    })();
    for (let n = 0; n < count; n++) {
      await this.page.keyboard.press("a");
      await this.page.waitForTimeout(67);
    }
    over = true;
    await feeding;
    return this.page.evaluate((count) => probe.slowKey(count), count);
  }

  /** Scrolls from the end to the top, and how often and how far what was read was not where it had to be then. */
  async scrollUp(step: number): Promise<{ readonly jumps: number; readonly worst: number }> {
    return this.page.evaluate((step) => probe.scrollUp(step), step);
  }

  /** From the page's HTML to a composer on the screen, for a new visitor far away. */
  async composer(): Promise<Readonly<Record<"ms" | "script ms", number>>> {
    await this.slow();
    await this.far();
    await this.page.goto(`${this.talk.url}/widget`, { waitUntil: "commit" });
    const ms = await this.page.evaluate(
      () =>
        new Promise<number>((done) => {
          const look = (): void => {
            const { responseEnd } = performance.getEntriesByType(
              "navigation",
            )[0] as PerformanceNavigationTiming;
            if (document.querySelector("parley-chat")?.shadowRoot?.querySelector("textarea"))
              done(performance.now() - responseEnd);
            else requestAnimationFrame(look);
          };
          look();
        }),
    );
    const { script } = await this.work();
    return { ms, "script ms": script };
  }

  async #feed(seconds: number, characters: number): Promise<number> {
    const began = performance.now();
    const due = seconds * PER_SECOND;
    let said = 0;
    await new Promise<void>((done) => {
      const timer = setInterval(() => {
        for (; said < Math.min(due, ((performance.now() - began) / 1000) * PER_SECOND); said++)
          this.talk.say(prose(this.talk.length, characters));
        if (said < due) return;
        clearInterval(timer);
        done();
      }, 5);
    });
    return said;
  }
}

const ANSWER = `Some **words** that make a paragraph, with \`code\` and a [link](https://example.com/) in it, and then
some more words, so that it has the length that paragraphs have.\n\n- one thing that is said\n- and *another* one
- a third\n\n\`\`\`js\nconst x = 1;\nif (x) show("a string", x);\n\`\`\`\n\n`;

/** The piece of a long answer that stands at a place. */
function prose(from: number, length: number): string {
  let text = "";
  while (text.length < length)
    text += ANSWER.slice((from + text.length) % ANSWER.length).slice(0, length - text.length);
  return text;
}
