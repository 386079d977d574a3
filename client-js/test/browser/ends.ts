/** Ends what a test began, the last first: a page leans on its server, and node:test ends the first first. */

import type { TestContext } from "node:test";

type End = () => Promise<void>;

/** Takes what is to be done when a test, or a file of them, has ended: `after` of node:test is one. */
export type After = (end: End) => void;

const begun = new WeakMap<TestContext, End[]>();

export function lastFirst(t: TestContext): After {
  let ends = begun.get(t);
  if (ends === undefined) {
    const all: End[] = [];
    ends = all;
    begun.set(t, all);
    t.after(async () => {
      const outcomes = [];
      for (const end of all.reverse()) outcomes.push(...(await Promise.allSettled([end()])));
      for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
    });
  }
  const later = ends;
  return (end) => {
    later.push(end);
  };
}
