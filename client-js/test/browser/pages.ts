/**
 * Chromium, once per file of tests, and pages in it that fail their test by themselves: on an error in
 * the console, an exception that nobody caught, or a violation of the page's policy.
 */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, type TestContext } from "node:test";

import {
  type Browser,
  type BrowserContextOptions,
  chromium,
  type JSHandle,
  type LaunchOptions,
  type Page,
} from "playwright-core";

import { lastFirst } from "./ends.ts";

const WAIT_MS = 10_000; // for what must happen; no test waits for it to pass

export interface Site {
  readonly url: string;
}

/** What a page has been seen to do. */
export interface Seen {
  /** Errors in the console, exceptions and violations, in the order that they came. */
  readonly troubles: string[];
  /** How many requests went to each origin, sockets included. */
  readonly requests: Map<string, number>;
}

/** The browser as people have it, for what its shell without windows lacks. */
export const WHOLE = process.env["PARLEY_CHROMIUM"] ?? "/usr/bin/chromium";

/**
 * A browser for the tests of one file. `shop.example` and its like are this machine.
 *
 * The shell takes a third of the whole browser's time for each page, and is the same engine: `scripts/test` names it
 * but for the long form, which shows everything of the whole browser.
 */
export async function browser(options: LaunchOptions = {}): Promise<Browser> {
  const libraries = process.env["PARLEY_CHROMIUM_LIBRARIES"];
  const launched = await chromium.launch({
    executablePath: process.env["PARLEY_CHROMIUM_HEADLESS_SHELL"] ?? WHOLE,
    ...options,
    args: [
      "--no-sandbox",
      "--disable-dev-shm-usage",
      "--disable-gpu",
      "--host-resolver-rules=MAP *.example 127.0.0.1",
    ],
    env: {
      ...(process.env as Record<string, string>),
      ...(libraries === undefined ? {} : { LD_LIBRARY_PATH: libraries }),
    },
  });
  after(() => launched.close());
  return launched;
}

/** A page of its own, as nobody has visited it. What is in `expected` is no trouble. */
export async function opened(
  t: TestContext,
  from: Browser,
  options: BrowserContextOptions & { readonly expected?: RegExp } = {},
): Promise<{ readonly page: Page; readonly seen: Seen }> {
  const { expected, ...rest } = options;
  const context = await from.newContext(rest);
  context.setDefaultTimeout(WAIT_MS);
  const page = await context.newPage();
  const seen = await watched(page);
  lastFirst(t)(async () => {
    await context.close();
    const unexpected = seen.troubles.filter((trouble) => expected?.test(trouble) !== true);
    assert.deepEqual(unexpected, []);
  });
  return { page, seen };
}

/** A module as this page loads it. In what is evaluated there tsc would rewrite an `import()`. */
export async function imported<Module>(page: Page, url: string): Promise<JSHandle<Module>> {
  return (await page.evaluateHandle(`import(${JSON.stringify(url)})`)) as JSHandle<Module>;
}

async function watched(page: Page): Promise<Seen> {
  const seen: Seen = { troubles: [], requests: new Map() };
  const request = (url: string) => {
    const { origin } = new URL(url);
    seen.requests.set(origin, (seen.requests.get(origin) ?? 0) + 1);
  };
  page.on("request", (asked) => request(asked.url()));
  page.on("websocket", (socket) => request(socket.url()));
  page.on("pageerror", (error) => seen.troubles.push(`exception: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") {
      seen.troubles.push(`${message.type()}: ${message.text()} (${message.location().url})`);
    }
  });
  await page.exposeFunction("__violated", (what: string) => seen.troubles.push(what));
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      const { __violated } = globalThis as unknown as { __violated(what: string): void };
      __violated(`violation of ${event.effectiveDirective}: ${event.blockedURI}`);
    });
  });
  return seen;
}

/** A site of somebody else that answers every path with this page, under whatever name of ours. */
export async function site(t: TestContext, html: string, host = "127.0.0.1"): Promise<Site> {
  const server = createServer((_, response) => {
    response.setHeader("Content-Type", "text/html; charset=utf-8");
    response.end(html);
  });
  server.listen(0, "127.0.0.1");
  lastFirst(t)(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  });
  await once(server, "listening");
  return { url: `http://${host}:${(server.address() as AddressInfo).port}` };
}
