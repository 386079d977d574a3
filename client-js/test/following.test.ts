import assert from "node:assert/strict";
import { test } from "node:test";

import { greeting, homeOf } from "../src/following.ts";
import type { ClientFrame, HelloFrame, ServerFrame } from "../src/frames.ts";
import { Replica } from "../src/replica.ts";
import { utf8Length } from "../src/text.ts";
import { Room } from "./room.ts";

const size = (frame: ClientFrame): number => utf8Length(JSON.stringify(frame));

/** Conversations with an answer each, and a level replica of each. */
function followed(...names: string[]) {
  const rooms = new Map(names.map((name) => [name, new Room(name, `${name}-`)]));
  const replicas = new Map(names.map((name) => [name, new Replica(name)]));
  for (const [name, room] of rooms) {
    room.say("Hello");
    for (const frame of room.snapshot()) replicas.get(name)?.apply(frame);
  }
  return { room: (name: string) => rooms.get(name) as Room, replicas };
}

test("a chunk goes where its answer is, running or ended", () => {
  const { room, replicas } = followed("c", "d");
  const chunk = room("d").chunk("d-2", "x");
  assert.equal(homeOf(chunk, replicas), replicas.get("d"));
  replicas.get("d")?.apply(chunk);
  replicas.get("d")?.apply(room("d").complete("d-2"));
  assert.equal(homeOf({ ...chunk, seq: 9 }, replicas), replicas.get("d"));
});

test("a change of the conversation is named by its object", () => {
  const { replicas } = followed("c");
  const conversation = {
    id: "c",
    title: null,
    status: "active",
    leaf: "c-1",
    message_count: 2,
    created_at: "",
    updated_at: "",
  } as const;
  const frame: ServerFrame = { type: "conversation", seq: 3, conversation };
  assert.equal(homeOf(frame, replicas)?.apply(frame), "applied");
  assert.equal(replicas.get("c")?.leaf, "c-1");
  assert.equal(replicas.get("c")?.about, conversation);
});

test("what belongs nowhere has no home", () => {
  const { replicas } = followed("c");
  const strays = [
    { type: "chunk", seq: 3, answer: "nobody", offset: 0, text: "x" },
    { type: "feedback", seq: 3, conversation: "x", message: "m", rating: "up" },
    { type: "sparkle", seq: 3 },
    { type: "sparkle", seq: 3, conversation: null },
    { type: "sparkle", seq: 3, conversation: 7 },
  ];
  for (const stray of strays) assert.equal(homeOf(stray as ServerFrame, replicas), undefined);
});

for (const token of ["t", "t".repeat(3000), "é".repeat(1500)]) {
  test(`hello has as many attachments as fit beside ${utf8Length(token)} bytes, to the byte`, () => {
    const wanted = Array.from({ length: 60 }, (_, n) => ({
      conversation: `${n}`.padStart(64, "0"),
      epoch: "e".repeat(64),
      seq: Number.MAX_SAFE_INTEGER,
      history: 100,
    }));
    const bare: HelloFrame = { type: "hello", token };
    const hello = greeting(bare, wanted, size);
    const named = hello.attach?.length ?? 0;
    assert.deepEqual(hello.attach, wanted.slice(0, named));
    assert.ok(size(hello) <= 4096);
    assert.ok(size({ ...bare, attach: wanted.slice(0, named + 1) }) > 4096);
  });
}

test("hello has no more attachments than a socket may follow, and none at all if there are none", () => {
  const wanted = Array.from({ length: 60 }, (_, n) => ({ conversation: `c${n}` }));
  assert.equal(greeting({ type: "hello" }, wanted, size).attach?.length, 50);
  assert.deepEqual(greeting({ type: "hello" }, [], size), { type: "hello" });
});
