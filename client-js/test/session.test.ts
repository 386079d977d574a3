/**
 * The client's machine: what the golden dialogues leave out.
 *
 * Those tell its ordinary life; here are its edges, bounds and rare crossings.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { json } from "../src/codec.ts";
import { advice, CLOSE_CODES } from "../src/codes.ts";
import type { ChatFrame, ClientFrame, HelloFrame, ServerFrame, StopFrame } from "../src/frames.ts";
import { type Action, type News, Session, type State } from "../src/session.ts";
import { utf8Length } from "../src/text.ts";
import { ack, attached, CHAT, FEATURES, refused, welcome } from "./examples.ts";
import { Room } from "./room.ts";

const INTO: ChatFrame = { ...CHAT, conversation: "c" };
const STOP: StopFrame = { type: "stop", answer: "a" };
const ATTACH = { type: "attach", conversation: "c" } as const;
const GOAWAY = { type: "goaway", reason: "shutdown", reconnect_after_ms: 1000 } as const;
const INFO = { name: "test", version: "1" };

function stopped(): Session {
  return new Session({ token: "token-1", info: INFO });
}

function connecting(): Session {
  const session = stopped();
  session.connect(0);
  return session;
}

function greeting(): Session {
  const session = connecting();
  session.opened();
  return session;
}

function open(): Session {
  const session = greeting();
  session.receive(welcome(), 0, 0.5);
  return session;
}

function draining(): Session {
  const session = open();
  session.receive(GOAWAY, 0, 0.5);
  return session;
}

function waiting(): Session {
  const session = open();
  session.closed(1006, 0, 0.5);
  return session;
}

const IN_STATE: Readonly<Record<State, () => Session>> = {
  stopped,
  connecting,
  greeting,
  open,
  draining,
  waiting,
};
const STATES = Object.keys(IN_STATE) as State[];

function sent(actions: readonly Action[]): ClientFrame[] {
  return actions.flatMap((action) => (action.type === "send" ? [action.frame] : []));
}

function helloOf(session: Session): HelloFrame {
  return sent(session.opened())[0] as HelloFrame;
}

function told<Type extends News["type"]>(type: Type, actions: readonly Action[]) {
  return actions.filter((action): action is Extract<News, { type: Type }> => action.type === type);
}

/** Lose the connection and get another one. */
function again(session: Session, now: number, greeted = welcome()): Action[] {
  session.closed(1006, now, 0);
  session.tick(now);
  return [...session.opened(), ...session.receive(greeted, now, 0.5)];
}

/** An open session that follows a room, in which an answer runs. */
function following() {
  const session = open();
  const room = new Room();
  const answer = room.say("Hello");
  session.follow("c", 0);
  const snapshot = room.snapshot()[0] as ServerFrame;
  session.receive(snapshot, 0, 0.5);
  return {
    session,
    room,
    answer,
    snapshot,
    text: () => session.replicas.get("c")?.answers.get(answer)?.text,
  };
}

// States

for (const state of STATES) {
  test(`while ${state}, an illegal call throws and changes nothing`, () => {
    assert.equal(IN_STATE[state]().state, state);
    const legal = { connect: ["stopped", "waiting"], opened: ["connecting"] };
    for (const call of ["connect", "opened"] as const) {
      const session = IN_STATE[state]();
      const { deadline } = session;
      if (legal[call].includes(state)) continue;
      assert.throws(() => session[call](1), new RegExp(state));
      assert.deepEqual([session.state, session.deadline], [state, deadline]);
      assert.deepEqual(session.typing("c").length, ["open", "draining"].includes(state) ? 1 : 0);
    }
  });

  test(`while ${state}, a close is taken by what its code advises`, () => {
    for (const code of [...Object.values(CLOSE_CODES), 4333, 4999, 3000]) {
      const session = IN_STATE[state]();
      const actions = session.closed(code, 1000, 0.5);
      if (state === "stopped" || state === "waiting") {
        assert.deepEqual(actions, []);
      } else if (advice(code) === "reconnect") {
        assert.equal(session.state, "waiting");
      } else {
        assert.deepEqual([session.state, session.deadline], ["stopped", Infinity]);
        assert.equal(told("need_token", actions).length, code === 4002 ? 1 : 0);
      }
    }
  });

  test(`while ${state}, what is no frame is ignored`, () => {
    const session = IN_STATE[state]();
    for (const garbage of [
      null,
      undefined,
      7,
      "welcome",
      [],
      {},
      { type: 7, seq: 1 },
      { type: null },
    ]) {
      assert.deepEqual(session.receive(garbage as unknown as ServerFrame, 1000, 0.5), []);
    }
    for (const type of ["toString", "constructor", "__proto__"]) {
      assert.deepEqual(session.receive({ type } as unknown as ServerFrame, 1000, 0.5), []);
    }
    assert.equal(session.state, state);
  });

  test(`while ${state}, what comes out of turn is ignored`, () => {
    const session = IN_STATE[state]();
    const { deadline } = session;
    assert.deepEqual(session.receive(ack("m-1"), 0, 0.5), []);
    if (state !== "open") assert.deepEqual(session.receive(GOAWAY, 0, 0.5), []);
    if (state !== "greeting") assert.deepEqual(session.receive(welcome(), 0, 0.5), []);
    assert.deepEqual([session.state, session.deadline], [state, deadline]);
  });

  test(`while ${state}, it can be stopped and begin again`, () => {
    const session = IN_STATE[state]();
    const actions = session.stop();
    const closes = !["stopped", "waiting"].includes(state);
    assert.deepEqual(actions.filter(({ type }) => type === "close").length, closes ? 1 : 0);
    assert.deepEqual(session.closed(1000, 1000, 0.5), []);
    assert.deepEqual(session.connect(2000).at(-1), { type: "connect" });
  });
}

test("a refused hello is told", () => {
  const error = refused("invalid_field");
  assert.deepEqual(greeting().receive(error, 0, 0.5), [{ type: "heard", frame: error }]);
});

// Requests

test("a request that never left can be taken back, and one that left cannot", () => {
  const early = stopped();
  early.submit(CHAT, 0);
  assert.deepEqual([early.withdraw(CHAT), early.withdraw(CHAT)], [true, false]);
  const late = open();
  late.submit(CHAT, 0);
  assert.equal(late.withdraw(CHAT), false);
  late.closed(1006, 1000, 0.5);
  assert.equal(late.withdraw(CHAT), false);
});

test("too many requests are refused here, whatever the client asks besides", () => {
  const session = greeting();
  session.auth("token-2", 0);
  for (let number = 0; number < 100; number++) {
    assert.deepEqual(session.submit({ type: "stop", answer: `a${number}` }, 0), []);
  }
  const [refusal] = told("answered", session.submit(CHAT, 0));
  assert.equal(refusal?.request, CHAT);
  assert.deepEqual(refusal?.answer, { type: "refusal", code: "overloaded", message: "requests" });
});

test("what waited is checked when the offer is known, but for what left before", () => {
  const session = open();
  const content = "x".repeat(50);
  session.submit({ ...CHAT, id: "m-0", content }, 0);
  session.closed(1006, 1000, 0);
  const late: ChatFrame = { ...CHAT, content };
  assert.deepEqual(session.submit(late, 1000), []);
  session.tick(1000);
  session.opened();
  const actions = session.receive(welcome({ content_bytes: 49 }), 1000, 0.5);
  assert.deepEqual(sent(actions), [{ ...CHAT, id: "m-0", content }]);
  assert.deepEqual(
    told("answered", actions).map(({ request }) => request),
    [late],
  );
});

test("a frame over the size limit never leaves, as the wire counts it", () => {
  for (const [bytes, length, leaves] of [
    [undefined, 30, false],
    [200, 1000, true],
    [201, 1, false],
  ] as const) {
    const encode = () => new Uint8Array(bytes ?? 0);
    const session = new Session(bytes === undefined ? {} : { codec: { ...json, encode } });
    session.connect(0);
    session.opened();
    session.receive(welcome({ client_frame_bytes: 200 }), 0, 0.5);
    const actions = session.submit({ ...CHAT, content: "\x01".repeat(length) }, 0);
    assert.equal(sent(actions).length, leaves ? 1 : 0);
    const codes = told("answered", actions).map(({ answer }) => "code" in answer && answer.code);
    assert.deepEqual(codes, leaves ? [] : ["payload_too_large"]);
  }
});

test("a request refused again and again is told at last, after some two minutes", () => {
  const session = open();
  session.submit(CHAT, 0);
  const refusal = refused("unavailable", "m-1");
  let now = 0;
  for (let refusals = 0; refusals < 8; refusals++) {
    const [delayed] = told("delayed", session.receive(refusal, now, 0.99));
    assert.deepEqual([delayed?.request, delayed?.error], [CHAT, refusal]);
    const due = now + (delayed?.wait ?? NaN);
    while (now < due) {
      now = Math.min(session.deadline, due);
      const actions = session.tick(now);
      if (now < due) session.receive({ type: "pong" }, now, 0.5);
      assert.equal(sent(actions).includes(CHAT), now === due);
    }
    session.receive({ type: "pong" }, now, 0.5);
  }
  assert.ok(now > 60_000 && now < 240_000, `${now}`);
  assert.deepEqual(session.receive(refusal, now, 0.99), [
    { type: "answered", request: CHAT, answer: refusal },
  ]);
  assert.equal(session.unanswered, 0);
});

test("a busy conversation is asked again, unless the message asked to be told at once", () => {
  const error = refused("busy", "m-1", 600);
  const patient = open();
  patient.submit(CHAT, 0);
  assert.deepEqual(patient.receive(error, 0, 0.5), [
    { type: "delayed", request: CHAT, error, wait: 600 },
  ]);
  assert.equal(patient.deadline, 600);
  const hasty = open();
  const request: ChatFrame = { ...CHAT, on_busy: "reject" };
  hasty.submit(request, 0);
  assert.deepEqual(hasty.receive(error, 0, 0.5), [{ type: "answered", request, answer: error }]);
});

test("a page of history joins what is held of a conversation that is followed", () => {
  const { session, room } = following();
  const older = { ...room.rows.get("m1"), id: "m0", siblings: ["m0"] };
  for (const name of ["c", "other"]) {
    session.submit({ type: "history", id: name, conversation: name }, 0);
    const page = { type: "history", ref: name, messages: [older], more: false } as ServerFrame;
    assert.equal(told("answered", session.receive(page, 0, 0.5)).length, 1);
  }
  assert.deepEqual([...(session.replicas.get("c")?.messages.keys() ?? [])].sort(), [
    "m0",
    "m1",
    "m2",
  ]);
  assert.ok(!session.replicas.has("other"));
});

for (const code of [1002, 1003, 1007, 1009, 4500]) {
  test(`what was under way at a ${code} never leaves again, and what had not left is kept`, () => {
    const session = draining();
    session.submit(STOP, 0);
    session.submit(CHAT, 0);
    const answers = told("answered", session.closed(code, 1000, 0.5));
    assert.deepEqual(
      answers.map(({ request }) => request),
      [STOP],
    );
    const blamed = code === 1009 ? "payload_too_large" : "invalid_frame";
    assert.deepEqual(answers[0]?.answer, { type: "refusal", code: blamed, message: `${code}` });
    assert.equal(session.unanswered, 1);
  });
}

test("a close for good that is not about what was sent blames nothing", () => {
  const session = open();
  session.submit(CHAT, 0);
  assert.deepEqual(told("answered", session.closed(4508, 1000, 0.5)), []);
  assert.equal(session.unanswered, 1);
});

// Following

test("following during the greeting attaches after it", () => {
  const session = greeting();
  assert.deepEqual(session.follow("c", 0, 20), []);
  assert.deepEqual(sent(session.receive(welcome(), 0, 0.5)), [{ ...ATTACH, history: 20 }]);
});

test("no more is followed than a socket may, asked for or not", () => {
  const session = stopped();
  for (let number = 0; number < 50; number++) assert.deepEqual(session.follow(`c${number}`, 0), []);
  const [over] = told("unfollowed", session.follow("one too many", 0));
  assert.equal(over?.why.code, "quota_exceeded");
  assert.deepEqual(session.follow("c1", 0), []);
  const bidden = open();
  for (let number = 0; number <= 50; number++) bidden.receive(attached(`c${number}`), 0, 0.5);
  assert.equal(bidden.replicas.size, 50);
});

test("attachments that hello has no room for follow after welcome, the newest first", () => {
  const session = stopped();
  const names = Array.from({ length: 50 }, (_, number) => `${number}`.padStart(64, "0"));
  for (const name of names) session.follow(name, 0);
  session.submit(CHAT, 0);
  session.connect(0);
  const named = helloOf(session).attach?.map(({ conversation }) => conversation) ?? [];
  assert.ok(named.length > 20 && named.length < 50);
  const frames = sent(session.receive(welcome(), 0, 0.5));
  assert.equal(frames.pop(), CHAT);
  const rest = frames.map((frame) => (frame.type === "attach" ? frame.conversation : ""));
  assert.deepEqual([...named, ...rest], names.reverse());
});

test("a token is in hello or left to the handshake, as there is room for it to the byte", () => {
  const bare = utf8Length(JSON.stringify({ type: "hello", token: "" }));
  for (const length of [4096 - bare, 4096 - bare + 1, 8192]) {
    const token = "t".repeat(length);
    const fits = length === 4096 - bare;
    const session = new Session({ token });
    session.connect(0);
    assert.equal(session.bearer, fits ? undefined : token);
    assert.equal(helloOf(session).token, fits ? token : undefined);
  }
});

test("unfollowing without a connection needs no detach", () => {
  const session = waiting();
  session.follow("c", 0);
  assert.deepEqual(session.unfollow("c", 0), []);
  assert.deepEqual(session.unfollow("c", 0), []);
  session.tick(1000);
  assert.deepEqual(helloOf(session), { type: "hello", token: "token-1", client: INFO });
});

test("an ack that crosses our leaving does not bring the conversation back", () => {
  const { session } = following();
  session.submit(INTO, 0);
  assert.deepEqual(session.unfollow("c", 0), []);
  const detach = { type: "detach", conversation: "c" } as const;
  assert.deepEqual(session.receive(ack("m-1"), 0, 0.5), [
    { type: "answered", request: INTO, answer: ack("m-1") },
    { type: "send", frame: detach },
  ]);
  session.receive(attached(), 0, 0.5);
  assert.equal(session.replicas.size, 0);
});

test("an attachment that still waits is dropped when its conversation is not followed any more", () => {
  const { session, room, answer } = following();
  session.submit(INTO, 0);
  room.chunk(answer, "lost");
  assert.deepEqual(session.receive(room.chunk(answer, "beyond"), 0, 0.5), []);
  session.unfollow("c", 0);
  assert.deepEqual(sent(session.receive(ack("m-1"), 0, 0.5)), [
    { type: "detach", conversation: "c" },
  ]);
});

test("a new conversation is followed from its ack, and an older one from a snapshot", () => {
  const made = open();
  made.submit(CHAT, 0);
  assert.deepEqual(sent(made.receive(ack("m-1"), 0, 0.5)), []);
  const replica = made.replicas.get("c");
  assert.deepEqual([replica?.level, replica?.position], [true, { epoch: "e1", seq: 0 }]);

  const room = new Room();
  const earlier = room.say("One");
  const position = room.log.length;
  const later = room.say("Two", earlier);
  const session = open();
  session.submit(INTO, 0);
  assert.deepEqual(sent(session.receive(ack("m-1", { answer: later, seq: position }), 0, 0.5)), [
    ATTACH,
  ]);
  for (const frame of room.since(position)) assert.deepEqual(session.receive(frame, 0, 0.5), []);
  session.receive(room.snapshot()[0] as ServerFrame, 0, 0.5);
  session.receive(room.chunk(earlier, "x"), 0, 0.5);
  assert.equal(session.replicas.get("c")?.answers.get(earlier)?.text, "x");
});

test("frames on a new connection wait for attached", () => {
  const { session, room, answer, text } = following();
  const at = room.log.length;
  const hello = again(session, 1000).find(({ type }) => type === "send");
  assert.deepEqual(hello && "frame" in hello && "attach" in hello.frame && hello.frame.attach, [
    { conversation: "c", epoch: "e1", seq: at },
  ]);
  const missed = [room.chunk(answer, "one"), room.chunk(answer, "two")];
  assert.deepEqual(session.receive(missed[0] as ServerFrame, 1000, 0.5), []);
  for (const frame of [room.recovered(at), ...missed]) {
    assert.deepEqual(session.receive(frame, 1000, 0.5), [
      { type: "updated", conversation: "c", frame },
    ]);
  }
  assert.equal(text(), "onetwo");
});

test("a server that cannot bring a conversation level is left", () => {
  const { session, room, answer, snapshot } = following();
  room.chunk(answer, "lost");
  const beyond = room.chunk(answer, "beyond");
  for (let breaks = 0; breaks < 3; breaks++) {
    assert.equal(sent(session.receive(beyond, 0, 0.5))[0]?.type, "attach");
    session.receive(snapshot, 0, 0.5);
  }
  assert.deepEqual(session.receive(beyond, 0, 0.5), [{ type: "close", code: 4005 }]);
});

test("nothing is sent behind a close", () => {
  const session = open();
  session.follow("c", 0);
  const lie = { ...attached(), seq: 9, recovered: true };
  for (let breaks = 0; breaks < 3; breaks++) {
    assert.deepEqual(sent(session.receive(lie, 0, 0.5)), [ATTACH]);
  }
  assert.deepEqual(session.submit(INTO, 0), []);
  assert.deepEqual(session.receive(lie, 0, 0.5), [{ type: "close", code: 4005 }]);
});

test("an attachment refused for now is tried again, and a final refusal ends the following", () => {
  const session = open();
  session.follow("c", 0);
  const error = refused("unavailable", "c");
  assert.equal(told("delayed", session.receive(error, 0, 0.5))[0]?.wait, 250);
  assert.deepEqual(sent(session.tick(250)), [ATTACH]);
  const why = refused("not_found", "c");
  assert.deepEqual(session.receive(why, 1000, 0.5), [
    { type: "unfollowed", conversation: "c", why },
  ]);
});

test("an attachment does not wait for a message that waits", () => {
  const { session, room, answer } = following();
  const held = room.log.length;
  session.submit(INTO, 0);
  session.receive(refused("busy", "m-1", 60_000), 0, 0.5);
  room.chunk(answer, "lost");
  const beyond = room.chunk(answer, "beyond");
  assert.deepEqual(sent(session.receive(beyond, 1000, 0.5)), [
    { ...ATTACH, epoch: "e1", seq: held },
  ]);
  session.receive(room.recovered(held), 2000, 0.5);
  assert.equal(sent(session.tick(60_000)).at(-1), INTO);
});

test("while one attachment waits no second one does", () => {
  const { session, room, answer } = following();
  session.submit(INTO, 0);
  for (let round = 0; round < 10; round++) {
    session.receive(room.chunk(answer, "one"), 0, 0.5);
    const position = room.log.length;
    room.chunk(answer, "lost");
    session.receive(room.chunk(answer, "beyond"), 0, 0.5);
    session.receive(room.recovered(position), 0, 0.5);
    for (const frame of room.since(position)) session.receive(frame, 0, 0.5);
  }
  assert.equal(session.unanswered, 2);
});

// Tokens

test("what the client itself asks is no matter of the offer", () => {
  const session = greeting();
  assert.deepEqual(session.auth("token-2", 0), []);
  const actions = session.receive(welcome({ client_frame_bytes: 10 }), 0, 0.5);
  assert.deepEqual(sent(actions), [{ type: "auth", token: "token-2" }]);
  assert.deepEqual(told("answered", actions), []);
});

test("of two new tokens the second is still untried when the first is accepted", () => {
  const session = open();
  assert.equal(sent(session.auth("token-2", 0)).length, 1);
  assert.deepEqual(session.auth("token-3", 0), []);
  const next = sent(session.receive({ type: "ok", ref: "auth" }, 0, 0.5));
  assert.deepEqual(next, [{ type: "auth", token: "token-3" }]);
  session.closed(4002, 1000, 0.5);
  assert.equal(session.state, "waiting");
});

test("a token that a new connection was opened with is not new any more", () => {
  const session = waiting();
  session.auth("token-2", 0);
  session.tick(1000);
  assert.equal(helloOf(session).token, "token-2");
  assert.deepEqual(session.closed(4002, 1000, 0.5), [
    { type: "moved", state: "stopped", close: 4002 },
    { type: "need_token", why: "expired" },
  ]);
});

// Life and waiting

test("waking asks an open connection for life once, and only a pong answers it", () => {
  const session = open();
  assert.deepEqual(sent(session.wake(5000)), [{ type: "ping", id: "ping-1" }]);
  assert.deepEqual(session.wake(5000), []);
  session.receive({ type: "notice", reason: "operator", text: "x" }, 6000, 0.5);
  assert.equal(session.deadline, 15_000);
  session.receive({ type: "pong", id: "ping-1" }, 7000, 0.5);
  assert.equal(session.deadline, 37_000);
  session.wake(8000);
  assert.deepEqual(session.tick(18_000), [{ type: "close", code: 4008 }]);
  assert.deepEqual([...stopped().wake(1000), ...connecting().wake(1000)], []);
});

test("waking cuts our own waiting short, but not what the server named", () => {
  const own = open();
  own.closed(1006, 0, 0.9);
  assert.deepEqual(own.wake(1).at(-1), { type: "connect" });
  const named = open();
  named.closed(1006, 0, 0.5, 30_000);
  assert.deepEqual(named.wake(1), []);
  assert.equal(named.deadline, 30_000);
});

test("only a connection that lasted counts as a success", () => {
  const session = open();
  let now = 0;
  const waits = [59_999, 59_999, 60_000].map((lasts) => {
    now += lasts;
    const wait = told("moved", session.closed(1006, now, 0.5))[0]?.wait ?? NaN;
    now += wait;
    session.tick(now);
    session.opened();
    session.receive(welcome(), now, 0.5);
    return wait;
  });
  assert.deepEqual(waits, [250, 500, 250]);
});

test("a named time overrides our own delay but does not undercut it", () => {
  const session = draining();
  assert.equal(told("moved", session.closed(1012, 400, 0.5))[0]?.wait, 600);
  session.tick(1000);
  assert.equal(told("moved", session.closed(1006, 2000, 0.5, 0))[0]?.wait, 500);
});

test("the deadline counts requests only while they may leave", () => {
  const early = stopped();
  early.submit(CHAT, 0);
  assert.equal(early.deadline, Infinity);
  const late = draining();
  late.submit(CHAT, 500);
  assert.equal(late.deadline, 1000);
});

test("stopping keeps what is followed for another connect", () => {
  const { session, room } = following();
  session.stop();
  session.connect(2000);
  assert.deepEqual(helloOf(session).attach, [
    { conversation: "c", epoch: "e1", seq: room.log.length },
  ]);
});

test("welcome is told and outlives its connection", () => {
  const session = greeting();
  const frame = welcome({}, FEATURES);
  assert.deepEqual(told("heard", session.receive(frame, 0, 0.5)), [{ type: "heard", frame }]);
  session.closed(1006, 1000, 0.5);
  assert.equal(session.welcome, frame);
});
