/** `scripts/bench widget`: the widget beside a renderer of plain text, in a real browser whose processor is made slower. */

import { parseArgs } from "node:util";

import { type Browser, chromium } from "playwright-core";

import type { Renderer } from "./site.ts";
import { atLeast, atMost, type Goal, type Row, table } from "./table.ts";
import { type Streamed, Visit } from "./visit.ts";

const HISTORIES = [2, 500, 3000];
const KEYS = 60;

/** What stood at the top is still on the screen then. */
const STEP_PX = 500;

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    runs: { type: "string", default: "3" },
    slower: { type: "string", default: "4" },
  },
});
const slower = Number(values.slower);
const wanted = values.only?.split(",");
const rows: Row[] = [];

type Figures<Name extends string> = Readonly<Record<Name, number>>;

/** The middle ones of as many runs as were asked for, of each of the two in turn: what else the machine does meets both. */
async function runs<Of extends string, Name extends string>(
  of: readonly Of[],
  run: (of: Of) => Promise<Figures<Name>>,
): Promise<Readonly<Record<Of, Figures<Name>>>> {
  const all = new Map<Of, Figures<Name>[]>(of.map((each) => [each, []]));
  for (let n = 0; n < Number(values.runs); n++)
    for (const each of of) all.get(each)?.push(await run(each));
  const middle = of.map((each) => [each, middles(all.get(each) ?? [])]);
  return Object.fromEntries(middle) as Readonly<Record<Of, Figures<Name>>>;
}

function middles<Name extends string>(figures: readonly Figures<Name>[]): Figures<Name> {
  const names = Object.keys(figures[0] ?? {}) as Name[];
  const middle = names.map((name) => {
    const sorted = figures.map((one) => one[name]).sort((a, b) => a - b);
    return [name, sorted[Math.floor(sorted.length / 2)]];
  });
  return Object.fromEntries(middle) as Figures<Name>;
}

async function visited<Result>(
  visit: Visit,
  run: (visit: Visit) => Promise<Result>,
): Promise<Result> {
  try {
    return await run(visit);
  } finally {
    await visit.end();
  }
}

/** Figures of both renderers beside each other. */
async function both<Name extends string>(
  of: string,
  run: (renderer: Renderer) => Promise<Figures<Name>>,
  goals: Readonly<Record<Name, Goal>>,
): Promise<void> {
  const { plain, widget } = await runs(["plain", "widget"], run);
  for (const name of Object.keys(goals) as Name[])
    rows.push({ of, name, widget: widget[name], plain: plain[name], goal: goals[name] });
}

/** What is told of every stream, in this order, and what is wished of each. */
const STREAMED: Readonly<Record<keyof Streamed, Goal>> = {
  fps: undefined,
  p99: undefined,
  worst: undefined,
  long: atMost(0),
  changes: undefined,
  task: undefined,
  script: undefined,
  style: undefined,
  layout: undefined,
};

async function streams(browser: Browser): Promise<void> {
  for (const count of HISTORIES)
    await both(
      `200 chunks/s of 4 characters below ${count}`,
      async (renderer) =>
        visited(await Visit.shown(browser, renderer, count, slower), (visit) => visit.stream(5, 4)),
      { ...STREAMED, fps: atLeast(58), worst: atMost(34), task: atMost(2) },
    );
}

async function flood(browser: Browser): Promise<void> {
  await both(
    "32 kB in 5 s below 500",
    async (renderer) =>
      visited(await Visit.shown(browser, renderer, 500, slower), (visit) => visit.stream(5, 32)),
    { ...STREAMED, fps: atLeast(55) },
  );
}

async function keys(browser: Browser): Promise<void> {
  await both(
    "a key in the page while streaming below 500",
    async (renderer) =>
      visited(await Visit.shown(browser, renderer, 500, slower), async (visit) => ({
        "p95 ms": await visit.keys(KEYS),
      })),
    { "p95 ms": atMost(32) },
  );
}

async function builds(browser: Browser): Promise<void> {
  for (const count of [500, 3000])
    await both(
      `${count} messages built`,
      async (renderer) =>
        visited(await Visit.prepared(browser, count, slower), async (visit) => {
          visit.talk.hold();
          await visit.go(renderer);
          await visit.page.waitForTimeout(500);
          await visit.slow();
          const before = await visit.work();
          const began = await visit.page.evaluate(() => performance.now());
          visit.talk.release();
          const first = await visit.complete(50, began);
          const whole = await visit.complete(count, began);
          await visit.page.waitForTimeout(500);
          const { task } = await visit.work();
          return { "first 50 ms": first, "whole ms": whole, "main thread ms": task - before.task };
        }),
      {
        "first 50 ms": undefined,
        "whole ms": undefined,
        "main thread ms": count === 500 ? atMost(200) : undefined,
      },
    );
}

async function heaps(browser: Browser): Promise<void> {
  await both(
    "3000 messages held",
    async (renderer) =>
      visited(await Visit.shown(browser, renderer, 3000, slower), async (visit) => ({
        MB: await visit.heap(),
      })),
    { MB: atMost(12) },
  );
}

async function scrolls(browser: Browser): Promise<void> {
  for (const count of [500, 3000]) {
    const { widget } = await runs(["widget"], async () =>
      visited(await Visit.shown(browser, "widget", count, slower), (visit) =>
        visit.scrollUp(STEP_PX),
      ),
    );
    const of = `scrolled up through ${count}`;
    rows.push({ of, name: "jumps > 8 px", widget: widget.jumps, goal: atMost(0) });
    rows.push({ of, name: "worst px", widget: widget.worst, goal: undefined });
  }
}

async function opens(browser: Browser): Promise<void> {
  const { widget } = await runs(["widget"], async () =>
    visited(await Visit.prepared(browser, 2, slower), (visit) => visit.composer()),
  );
  for (const [name, goal] of [
    ["ms", atMost(350)],
    ["script ms", atMost(30)],
  ] as const)
    rows.push({
      of: "a composer that can be used, 1.6 Mbit/s, 150 ms",
      name,
      widget: widget[name],
      goal,
    });
}

const MEASURES = { streams, flood, keys, builds, heaps, scrolls, opens };

const browser = await chromium.launch({
  executablePath: process.env["PARLEY_CHROMIUM"] ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
});
for (const [name, measure] of Object.entries(MEASURES)) {
  if (wanted && !wanted.includes(name)) continue;
  process.stderr.write(`${name}\n`);
  await measure(browser);
}
await browser.close();
process.stdout.write(`${table(rows)}\n`);
