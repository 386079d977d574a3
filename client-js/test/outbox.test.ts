import assert from "node:assert/strict";
import { test } from "node:test";

import type { AttachFrame, ChatFrame, DetachFrame, StopFrame } from "../src/frames.ts";
import { type AnswerFrame, free, isAsked, match, type Request, request } from "../src/outbox.ts";
import { ack, attached, refused } from "./examples.ts";

const ONE: ChatFrame = { type: "chat", id: "m-1", content: "one", conversation: "c" };
const TWO: ChatFrame = { type: "chat", id: "m-2", content: "two", conversation: "c" };
const ELSEWHERE: ChatFrame = { type: "chat", id: "m-3", content: "three", conversation: "d" };
const NEW: ChatFrame = { type: "chat", id: "m-4", content: "four" };
const ATTACH: AttachFrame = { type: "attach", conversation: "c" };
const DETACH: DetachFrame = { type: "detach", conversation: "c" };
const STOP: StopFrame = { type: "stop", answer: "a" };

/** Send whatever may leave, one after the other as a session does. */
function leave(outbox: Request[], starts = true): Request["frame"][] {
  const left = [];
  for (let next = free(outbox, starts)[0]; next; next = free(outbox, starts)[0]) {
    next.sent = true;
    left.push(next.frame);
  }
  return left;
}

function filled(...frames: Request["frame"][]): Request[] {
  return frames.map((frame) => request(frame));
}

function answer(outbox: Request[], frame: AnswerFrame): void {
  const found = match(outbox, frame);
  assert.ok(found);
  outbox.splice(outbox.indexOf(found), 1);
}

test("messages of one conversation go one at a time, and no other conversation waits for them", () => {
  const outbox = filled(ATTACH, ONE, TWO, ELSEWHERE, NEW);
  assert.deepEqual(leave(outbox), [ATTACH, ELSEWHERE, NEW]);
  answer(outbox, attached());
  assert.deepEqual(leave(outbox), [ONE]);
  answer(outbox, ack("m-1"));
  assert.deepEqual(leave(outbox), [TWO]);
});

test("no reference stands for two frames at once", () => {
  const outbox = filled(ATTACH, DETACH, ATTACH);
  assert.deepEqual(leave(outbox), [ATTACH]);
  answer(outbox, refused("not_found", "c"));
  assert.deepEqual(leave(outbox), [DETACH]);
  answer(outbox, { type: "ok", ref: "c" });
  assert.deepEqual(leave(outbox), [ATTACH]);
});

test("the same id twice has two answers", () => {
  const outbox = filled(NEW, NEW);
  assert.deepEqual(leave(outbox), [NEW]);
  answer(outbox, ack("m-4"));
  assert.deepEqual(leave(outbox), [NEW]);
  answer(outbox, ack("m-4", { duplicate: true }));
  assert.deepEqual(outbox, []);
});

test("an answer of another kind or name, or to what has not left, belongs to nobody", () => {
  const outbox = filled(NEW);
  assert.equal(match(outbox, ack("m-4")), undefined);
  leave(outbox);
  const strays = [{ type: "ok", ref: "m-4" } as const, ack("m-1"), attached(), refused("internal")];
  assert.deepEqual(
    strays.map((stray) => match(outbox, stray)),
    strays.map(() => undefined),
  );
  assert.ok(match(outbox, ack("m-4")));
});

test("what the application asked is told from what is about the connection", () => {
  const outbox = filled({ type: "auth", token: "t" }, ATTACH, NEW, STOP, DETACH);
  assert.deepEqual(
    outbox.filter(isAsked).map(({ frame }) => frame),
    [NEW, STOP],
  );
  assert.deepEqual(
    outbox.map(({ ref }) => ref),
    ["auth", "c", "m-4", "a", "c"],
  );
});

test("while no answer may be started the rest leaves, and what waits keeps its lane", () => {
  const outbox = filled(ONE, DETACH, STOP);
  assert.deepEqual(leave(outbox, false), [STOP]);
  assert.deepEqual(free(outbox, false), []);
  assert.deepEqual(leave(outbox), [ONE]);
});

test("an attachment passes messages that wait, and nothing else", () => {
  const outbox = filled(ONE, TWO);
  leave(outbox);
  outbox.push(request(ATTACH));
  assert.deepEqual(leave(outbox), []);
  const [first] = outbox as [Request];
  first.sent = false; // refused for now
  assert.deepEqual(
    free(outbox, true).map(({ frame }) => frame),
    [ONE, ATTACH],
  );
  assert.deepEqual(leave(filled(ONE, DETACH, ATTACH), false), []);
});
