/** How often the screen changes. */

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";

import { Pace } from "../../src/widget/pace.ts";

/** A browser's frames, painted when the test says so, and a clock that only the test moves. */
function screen(t: TestContext, takes = 0) {
  const wanted = new Map<number, () => void>();
  let made = 0;
  const globals = {
    requestAnimationFrame(task: () => void) {
      wanted.set(++made, task);
      return made;
    },
    cancelAnimationFrame: (frame: number) => wanted.delete(frame),
  };
  Object.assign(globalThis, globals);
  t.after(() => {
    for (const name of Object.keys(globals)) Reflect.deleteProperty(globalThis, name);
  });
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let now = 0;
  t.mock.method(performance, "now", () => now);
  const pass = (ms: number): void => {
    now += ms;
    t.mock.timers.tick(ms);
  };
  let shown = 0;
  const pace = new Pace(() => shown++);
  return {
    pace,
    pass,
    shown: () => shown,
    frame: () => {
      const due = [...wanted.values()];
      wanted.clear();
      for (const task of due) task();
      now += takes; // to paint it
      if (due.length) t.mock.timers.tick(1);
    },
  };
}

test("what changes after a while of rest is shown in the next frame, once for all of it", (t) => {
  const { pace, frame, shown } = screen(t);
  pace.soon();
  pace.soon();
  frame();
  assert.equal(shown(), 1);
  frame();
  assert.equal(shown(), 1);
});

test("behind a change the view is left alone for 20 ms, and then shows all that came meanwhile", (t) => {
  const { pace, frame, pass, shown } = screen(t);
  pace.soon();
  frame();
  pace.soon();
  pass(16);
  frame();
  assert.equal(shown(), 1);
  pace.soon();
  pass(4);
  frame();
  assert.equal(shown(), 2);
  pass(20);
  frame();
  assert.equal(shown(), 2);
});

test("what somebody does is shown in the next frame, and the rest is over", (t) => {
  const { pace, frame, shown } = screen(t, 50);
  pace.soon();
  frame();
  pace.soon();
  pace.hurry();
  frame();
  assert.equal(shown(), 2);
  pace.hurry();
  pace.soon();
  frame();
  assert.equal(shown(), 3);
  frame();
  assert.equal(shown(), 3);
});

test("where a change and its paint take long, the page gets as long for itself", (t) => {
  const { pace, frame, pass, shown } = screen(t, 50);
  pace.soon();
  frame();
  pace.soon();
  pass(40);
  frame();
  assert.equal(shown(), 1);
  pass(10);
  frame();
  assert.equal(shown(), 2);
});

test("a page that stood still in the middle of a frame does not stand still for as long again", (t) => {
  const { pace, frame, pass, shown } = screen(t, 600_000);
  pace.soon();
  frame();
  pace.soon();
  pass(1000);
  frame();
  assert.equal(shown(), 2);
});

test("what changes while it is shown is shown next, and what is stopped then is over", (t) => {
  const { frame, pass } = screen(t);
  let then: (() => void) | undefined;
  let shown = 0;
  const pace: Pace = new Pace(() => {
    shown++;
    then?.();
  });
  then = () => pace.soon();
  pace.soon();
  frame();
  then = () => pace.stop();
  pass(20);
  frame();
  assert.equal(shown, 2);
  pass(20);
  frame();
  assert.equal(shown, 2);
  then = undefined;
  pace.soon();
  frame();
  assert.equal(shown, 3);
});

test("a view that throws is asked again at the next change", (t) => {
  const { frame, pass } = screen(t);
  let asked = 0;
  const pace = new Pace(() => {
    asked++;
    throw new Error("no");
  });
  pace.soon();
  assert.throws(frame);
  t.mock.timers.tick(1);
  pass(20);
  pace.soon();
  assert.throws(frame);
  assert.equal(asked, 2);
});

test("what is stopped shows nothing more, in whatever moment", (t) => {
  const { pace, frame, pass, shown } = screen(t);
  pace.soon();
  pace.stop();
  frame();
  assert.equal(shown(), 0);
  pace.soon();
  frame();
  pace.soon();
  pace.stop();
  pass(20);
  frame();
  assert.equal(shown(), 1);
  pace.soon();
  frame();
  assert.equal(shown(), 2);
});
