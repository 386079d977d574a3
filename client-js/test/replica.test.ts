/** A client's copy of a conversation equals the server's, whatever happened on the way. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import type { Message, ServerFrame, ToolFrame } from "../src/frames.ts";
import { Replica } from "../src/replica.ts";
import { type Dice, dice } from "./chance.ts";
import { fold, NOON, Room } from "./room.ts";

const SMILE = "Hello, \u{1f600}"; // nine UTF-16 units

/** The replica is level and shows what the room is. */
function assertEqual(replica: Replica, room: Room): void {
  assert.deepEqual(replica.position, { epoch: room.epoch, seq: room.log.length });
  assert.ok(replica.level);
  assert.equal(replica.leaf, room.leaf);
  assert.deepEqual(new Map([...replica.messages].sort()), new Map([...room.rows].sort()));
  const shown = [...replica.answers.values()].map(({ id, attempt, state, text }) => [
    id,
    attempt,
    state,
    text,
  ]);
  const truth = [...room.running.values()].map(({ answer, attempt, state, text }) => [
    answer,
    attempt,
    state,
    text,
  ]);
  assert.deepEqual(shown.sort(), truth.sort());
}

/** Bring a replica level with a snapshot. */
function level(room: Room, replica = new Replica(room.conversation), fits?: number): Replica {
  for (const frame of room.snapshot(fits)) assert.equal(replica.apply(frame), "applied");
  return replica;
}

/** A room whose answer has said two words, and a level replica of it. */
function speaking() {
  const room = new Room();
  const answer = room.say("Hello");
  room.status(answer, "generating");
  room.chunk(answer, "Hello, ");
  const replica = level(room);
  assert.equal(replica.apply(room.chunk(answer, "\u{1f600}")), "applied");
  const text = () => replica.answers.get(answer)?.text;
  return { room, answer, replica, text };
}

/** What a server sends to who attaches as the replica does. */
function reattached(room: Room, replica: Replica, chance: Dice): ServerFrame[] {
  const { epoch, seq } = replica.wanted();
  if (epoch !== room.epoch || seq === undefined)
    return room.snapshot(chance.pick([1, 5, Infinity]));
  return [room.recovered(seq), ...room.since(seq, chance() < 0.5)];
}

test("the folding that these tests do is the server's", () => {
  const rows = JSON.parse(readFileSync("../protocol/vectors/folding.json", "utf8")) as {
    readonly story: string;
    readonly frames: readonly ServerFrame[];
    readonly folded: readonly ServerFrame[];
    readonly most?: number;
  }[];
  const unbounded = rows.filter(({ most }) => most === undefined);
  assert.ok(unbounded.length >= 6);
  for (const { story, frames, folded } of unbounded) assert.deepEqual(fold(frames), folded, story);
});

test("a log cut at every frame and resumed folded gives the same text", () => {
  for (let seed = 0; seed < 15; seed++) {
    const chance = dice(seed);
    const room = new Room();
    for (let step = 0; step < 40; step++) room.live(chance);
    for (let at = 0; at <= room.log.length; at++) {
      const replica = level(new Room());
      for (const frame of room.log.slice(0, at)) assert.equal(replica.apply(frame), "applied");
      replica.lost();
      assert.deepEqual(replica.wanted(), { conversation: "c", epoch: "e1", seq: at });
      for (const frame of [room.recovered(at), ...room.since(at, true)]) {
        assert.equal(replica.apply(frame), "applied");
      }
      assertEqual(replica, room);
    }
  }
});

test("a link that loses, repeats, folds and breaks ends where an undisturbed one does", () => {
  for (let seed = 0; seed < 150; seed++) {
    const chance = dice(seed);
    const room = new Room();
    const replica = new Replica("c");
    let inbox = reattached(room, replica, chance);
    const take = (frame: ServerFrame): void => {
      const effect = replica.apply(frame);
      if (effect === "hole" || effect === "mismatch")
        inbox.push(...reattached(room, replica, chance));
    };
    for (let step = 0; step < 60; step++) {
      const before = room.log.length;
      room.live(chance);
      inbox.push(...room.since(before, chance() < 0.3));
      if (chance() < 0.05) {
        replica.lost();
        inbox = reattached(room, replica, chance);
      }
      if (chance() < 0.02) {
        room.epoch += "'";
        room.log = [];
        inbox.push(...room.snapshot());
      }
      for (let read = chance.upTo(4); read && inbox.length; read--) {
        const frame = inbox.shift() as ServerFrame;
        const logged = "seq" in frame && frame.type !== "attached";
        if (logged && chance() < 0.03) continue;
        take(frame);
        if (logged && chance() < 0.05) take(frame);
      }
    }
    while (inbox.length) take(inbox.shift() as ServerFrame);
    replica.lost();
    for (const frame of reattached(room, replica, chance))
      assert.equal(replica.apply(frame), "applied");
    assertEqual(replica, room);
  }
});

test("a skipped position is a hole, asked for once and from where the replica stands", () => {
  const { room, answer, replica } = speaking();
  const held = room.log.length;
  room.chunk(answer, " lost");
  const later = [room.chunk(answer, " after"), room.chunk(answer, " that")];
  assert.deepEqual(
    later.map((frame) => replica.apply(frame)),
    ["hole", "ignored"],
  );
  assert.equal(replica.wanted().seq, held);
  for (const frame of [room.recovered(held), ...room.since(held, true)]) {
    assert.equal(replica.apply(frame), "applied");
  }
  assertEqual(replica, room);
});

test("text that begins before our end and goes beyond it is a hole", () => {
  const { room, answer, replica } = speaking();
  const before = room.log.length;
  replica.apply(room.chunk(answer, "one "));
  room.chunk(answer, "two");
  const [both] = room.since(before, true) as [ServerFrame];
  assert.equal(replica.apply(both), "hole");
  assert.equal(replica.wanted().seq, before + 1);
});

test("a second hole without progress gives the position up, and progress between two keeps it", () => {
  const { room, answer, replica } = speaking();
  for (let round = 0; round < 5; round++) {
    const held = room.log.length;
    const lost = room.chunk(answer, "lost");
    const after = room.chunk(answer, "after");
    assert.equal(replica.apply(after), "hole");
    assert.equal(replica.wanted().seq, held);
    replica.apply(room.recovered(held));
    assert.deepEqual(
      [lost, after].map((frame) => replica.apply(frame)),
      ["applied", "applied"],
    );
  }
  const held = room.log.length;
  room.chunk(answer, "lost");
  const after = room.chunk(answer, "after");
  replica.apply(after);
  replica.apply(room.recovered(held));
  assert.equal(replica.apply(after), "hole");
  assert.deepEqual(replica.wanted(), { conversation: "c" });
  assert.equal(replica.breaks, 2);
});

test("repetitions are dropped", () => {
  const { room, replica } = speaking();
  assert.deepEqual(new Set(room.log.map((frame) => replica.apply(frame))), new Set(["repeated"]));
  assertEqual(replica, room);
});

for (const offset of [0, 8, 10]) {
  test(`text at ${offset} behind nine units is a mismatch`, () => {
    const { room, answer, replica, text } = speaking();
    const seq = room.log.length + 1;
    assert.equal(replica.apply({ type: "chunk", seq, answer, offset, text: "x" }), "mismatch");
    assert.equal(replica.wanted().seq, undefined);
    assert.equal(text(), SMILE);
  });
}

for (const wrong of [{ length: 3 }, { crc32: 1 }, { attempt: 2 }]) {
  test(`an end that does not prove the text asks for a snapshot: ${JSON.stringify(wrong)}`, () => {
    const { room, answer, replica } = speaking();
    const end = room.complete(answer);
    assert.equal(replica.apply({ ...end, ...wrong }), "mismatch");
    assert.equal(replica.apply(end), "ignored");
    assertEqual(level(room, replica), room);
  });
}

test("nothing follows the end of an answer", () => {
  const { room, answer, replica } = speaking();
  assert.equal(replica.apply(room.complete(answer)), "applied");
  const row = replica.messages.get(answer);
  assert.equal(row?.content, SMILE);
  const seq = room.log.length + 1;
  assert.equal(replica.apply({ type: "chunk", seq, answer, offset: 9, text: "late" }), "ignored");
  assert.equal(replica.position?.seq, seq);
  assert.equal(replica.messages.get(answer), row);
  assert.equal(replica.answers.size, 0);
});

test("a reset empties the answer but keeps the tools it ran, each as it stands", () => {
  const { room, answer, replica } = speaking();
  const about = { conversation: "c", answer } as const;
  const call = { ...about, type: "tool", call: "k", name: "clock" } as const;
  const frames = [
    room.append({ ...about, type: "thought", offset: 0, text: "hm" } as const),
    room.append({ ...about, type: "citation", start: 0, end: 1, sources: [] } as const),
    room.append({ ...call, state: "requested", arguments: { at: 1 } } as const),
    room.append({
      ...call,
      state: "done",
      result: "noon",
      arguments: null,
    } as unknown as ToolFrame),
  ];
  for (const frame of frames) assert.equal(replica.apply(frame as ServerFrame), "applied");
  const grown = replica.answers.get(answer);
  assert.deepEqual([grown?.thought, grown?.citations], ["hm", [{ start: 0, end: 1, sources: [] }]]);
  assert.equal(replica.apply(room.reset(answer)), "applied");
  assert.deepEqual(replica.answers.get(answer)?.tools, [
    { call: "k", name: "clock", state: "done", arguments: { at: 1 }, result: "noon" },
  ]);
  assert.deepEqual(
    [grown?.attempt, grown?.text, grown?.thought, grown?.citations],
    [2, "", "", []],
  );
});

test("an attempt rises by reset alone", () => {
  for (const type of ["status", "reset"] as const) {
    const { room, answer, replica } = speaking();
    const frame = { seq: room.log.length + 1, conversation: "c", answer };
    const fault: ServerFrame =
      type === "reset"
        ? { ...frame, type, attempt: 1, reason: "retry" }
        : { ...frame, type, attempt: 2, state: "tool" };
    assert.equal(replica.apply(fault), "mismatch");
    assert.equal(replica.answers.get(answer)?.state, "generating");
  }
});

test("a frame of a newer server moves the position, and one outside the log does nothing", () => {
  const { room, replica } = speaking();
  const seq = room.log.length + 1;
  const unknown = { type: "sparkle", conversation: "c" };
  assert.equal(replica.apply({ ...unknown, seq } as unknown as ServerFrame), "applied");
  assert.equal(replica.apply(unknown as unknown as ServerFrame), "ignored");
  assert.equal(replica.position?.seq, seq);
});

test("a recovery in an epoch that is not ours, or beyond our end, is a fault", () => {
  const { room, replica } = speaking();
  assert.equal(replica.apply(room.recovered(room.log.length + 1)), "hole");
  assert.equal(replica.wanted().seq, room.log.length);
  room.epoch = "e2";
  assert.equal(replica.apply(room.recovered(0)), "mismatch");
  assert.deepEqual(replica.wanted(), { conversation: "c" });
});

test("chunks without a position complete a snapshot and nothing else", () => {
  const { room, answer } = speaking();
  const replica = level(room, new Replica("c"), 3);
  assert.equal(replica.answers.get(answer)?.text, SMILE);
  assert.equal(replica.apply(room.chunk(answer, "x")), "applied");
  const late: ServerFrame = { type: "chunk", answer, offset: 10, text: "y" };
  assert.equal(replica.apply({ ...late, answer: "nobody" }), "ignored");
  assert.equal(replica.apply(late), "mismatch");
});

test("a snapshot cut before its text was whole is asked for again", () => {
  const { room, answer } = speaking();
  const [attached, first] = room.snapshot(3) as [ServerFrame, ServerFrame];
  const replica = new Replica("c", 10);
  replica.apply(attached);
  replica.apply(first);
  const next = room.chunk(answer, "x");
  assert.deepEqual(replica.wanted(), { conversation: "c", history: 10 });
  assert.equal(replica.apply(next), "mismatch");
  assertEqual(level(room, replica), room);
  assert.equal(replica.wanted().seq, room.log.length);
});

test("reasoning whose beginning no snapshot tells may start anywhere, and then goes on", () => {
  const { room, answer } = speaking();
  const replica = level(room);
  const thought = { type: "thought", conversation: "c", answer } as const;
  const pieces = [7, 12, 99].map((offset, index) => ({
    ...thought,
    seq: room.log.length + 1 + index,
    offset,
    text: "seen ",
  }));
  assert.deepEqual(
    pieces.map((piece) => replica.apply(piece)),
    ["applied", "applied", "mismatch"],
  );
  assert.equal(replica.answers.get(answer)?.thought, "seen seen ");
});

test("a snapshot says whether there are older rows than its own", () => {
  const room = new Room();
  const replica = level(room);
  const snapshot = room.snapshot()[0] as ServerFrame;
  for (const more of [true, false]) {
    replica.apply({ ...snapshot, more } as ServerFrame);
    assert.equal(replica.more, more);
  }
});

test("a late message fills in what a snapshot did not tell, and a later page takes nothing away", () => {
  const room = new Room();
  const answer = room.say("Hello");
  room.chunk(answer, "Hi");
  const replica = new Replica("c");
  const running = { answer, parent: "m1", state: "queued", attempt: 1 } as const;
  const shown = { ...room.recovered(0), recovered: false, answers: [running] };
  replica.apply(shown);
  assert.equal(replica.messages.get(answer)?.created_at, "");
  for (const missed of room.log) assert.equal(replica.apply(missed), "applied");
  assert.equal(replica.messages.get(answer)?.created_at, NOON);
  assertEqual(replica, room);
  replica.merge([{ ...(room.rows.get("m1") as Message), content: "other" }]);
  assertEqual(replica, room);
});

test("siblings are the same on every row, and an older list never shortens a newer one", () => {
  const room = new Room();
  room.say("Why?");
  const old = room.rows.get("m2") as Message;
  const replica = level(room);
  for (let sibling = 0; sibling < 2; sibling++) {
    room.row("assistant", "", "m1");
    replica.apply(room.log.at(-1) as ServerFrame);
  }
  replica.merge([old]);
  for (const name of ["m2", "m3", "m4"]) {
    assert.deepEqual(replica.messages.get(name)?.siblings, ["m2", "m3", "m4"]);
  }
});

test("a branch runs from its first row to its leaf, and a ring of parents does not hang it", () => {
  const { room, answer, replica } = speaking();
  const row = room.rows.get(answer) as Message;
  assert.deepEqual(
    replica.branch().map(({ id }) => id),
    ["m1", "m2"],
  );
  assert.deepEqual(
    replica.branch("m1").map(({ id }) => id),
    ["m1"],
  );
  replica.merge([
    { ...row, id: "a", parent: "b" },
    { ...row, id: "b", parent: "a" },
  ]);
  assert.ok(replica.branch("a").length <= replica.messages.size);
});

test("the shape changes with rows, leaf, outcome and feedback, and not with a growing text", () => {
  const { room, answer, replica } = speaking();
  const changes = (frame: object): boolean => {
    const before = replica.shape;
    assert.equal(replica.apply(frame as ServerFrame), "applied");
    return replica.shape > before;
  };
  assert.equal(changes(room.chunk(answer, "more")), false);
  assert.equal(changes(room.status(answer, "tool")), false);
  const feedback = { type: "feedback", conversation: "c", message: "m1", rating: "up" };
  assert.equal(changes(room.append(feedback)), true);
  assert.deepEqual(replica.messages.get("m1")?.feedback, { rating: "up" });
  assert.equal(changes(room.complete(answer)), true);
  room.row("user", "More", answer);
  assert.equal(changes(room.log.at(-1) as ServerFrame), true);
  const conversation = { id: "c", leaf: "m2" };
  assert.equal(changes(room.append({ type: "conversation", conversation })), true);
  assert.equal(changes(room.snapshot()[0] as ServerFrame), true);
  assert.equal(changes(new Room().snapshot()[0] as ServerFrame), true);
  replica.apply(room.snapshot()[0] as ServerFrame);
  const before = replica.shape;
  replica.merge([{ ...(replica.messages.get("m1") as Message), id: "m0", siblings: ["m0"] }]);
  assert.ok(replica.shape > before);
});
