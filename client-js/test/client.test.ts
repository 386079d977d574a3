/** The client over a server in memory: what a page asks, and what it gets whatever the network does. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { type ClientOptions, ParleyClient, type ParleyError } from "../src/index.ts";
import { world } from "../src/outside.ts";
import { FakeOutside, quiet } from "./fakeOutside.ts";
import { FakeServer, welcome } from "./fakeServer.ts";
import { NOON } from "./room.ts";

function made(options: Partial<ClientOptions> = {}) {
  const server = new FakeServer();
  const outside = new FakeOutside(server);
  const parley = client(outside, options);
  return { server, outside, parley };
}

function client(outside: FakeOutside, options: Partial<ClientOptions> = {}): ParleyClient {
  return new ParleyClient({ url: "wss://chat.example/ws", token: "t-1", ...options }, outside);
}

async function open(options: Partial<ClientOptions> = {}) {
  const all = made(options);
  all.parley.connect();
  await quiet();
  assert.equal(all.parley.connection.state, "open");
  return all;
}

const contents = (talk: { messages: readonly { content: string }[] }) =>
  talk.messages.map(({ content }) => content);

const fails = (code: ParleyError["code"]) => (error: ParleyError) => error.code === code;

test("a message is shown at once, its answer grows, and `done` has the whole of it", async () => {
  const { server, parley } = await open();
  const talk = parley.conversation();
  const answer = talk.send("Hello");
  assert.deepEqual(contents(talk), ["Hello"]);
  assert.equal(talk.status, "submitted");
  await quiet();
  assert.equal(answer.id, server.newest);
  assert.equal(talk.id, (await answer.accepted).conversation);
  server.say("Good ");
  await quiet();
  assert.equal(talk.status, "streaming");
  assert.equal(answer.text, "Good ");
  server.say("day.");
  server.end();
  const { outcome, usage, content } = await answer.done;
  assert.deepEqual([outcome, usage?.total_tokens, content], ["complete", 2, "Good day."]);
  assert.deepEqual(contents(talk), ["Hello", "Good day."]);
  assert.equal(talk.status, "ready");
});

test("an answer is read piece by piece, and a slow reader gets bigger ones", async () => {
  const { server, parley } = await open();
  const answer = parley.conversation().send("Hello");
  const pieces: (string | undefined)[] = [];
  const reading = (async () => {
    for await (const { delta } of answer) pieces.push(delta);
  })();
  await quiet();
  server.say("one ");
  await quiet();
  server.say("two ");
  server.say("three");
  await quiet();
  server.end();
  await reading;
  assert.equal(pieces.join(""), "one two three");
  assert.ok(pieces.length <= 3);
});

test("after a reset what was said before is given up", async () => {
  const { server, parley } = await open();
  const answer = parley.conversation().send("Hello");
  const told: unknown[] = [];
  answer.on("text", (piece) => told.push(piece));
  await quiet();
  server.say("Hel");
  await quiet();
  server.reset();
  server.say("Good day.");
  server.end();
  await answer.done;
  assert.deepEqual(told, [
    { text: "Hel", delta: "Hel" },
    { text: "", delta: undefined },
    { text: "Good day.", delta: "Good day." },
  ]);
});

test("a cut in the middle changes nothing but the time", async () => {
  const { server, outside, parley } = await open();
  const talk = parley.conversation();
  const answer = talk.send("Hello");
  await quiet();
  server.say("Good ");
  await quiet();
  server.cut();
  await quiet();
  assert.deepEqual(parley.connection, { state: "waiting", reason: 1006, retryIn: 250 });
  assert.equal(talk.level, false);
  server.say("day.");
  server.end();
  await outside.pass(250);
  assert.equal((await answer.done).content, "Good day.");
  assert.equal(talk.level, true);
  assert.deepEqual(server.of("hello")[1]?.attach, [{ conversation: talk.id, epoch: "e1", seq: 4 }]);
});

test("a lost log replaces what is shown, and the end of an answer is not missed", async () => {
  const { server, outside, parley } = await open();
  const talk = parley.conversation();
  const answer = talk.send("Hello");
  await quiet();
  server.say("Good ");
  await quiet();
  server.cut();
  server.say("day.");
  server.end();
  server.lose(talk.id as string);
  await outside.pass(500);
  assert.equal((await answer.done).content, "Good day.");
  assert.deepEqual(contents(talk), ["Hello", "Good day."]);
});

test("an answer that ended on a branch that is not shown is asked for, until it is told", async () => {
  const { server, outside, parley } = await open();
  const talk = parley.conversation();
  const answer = talk.send("Hello");
  const said: string[] = [];
  answer.on("text", ({ text }) => said.push(text));
  await quiet();
  server.say("Good ");
  await quiet();
  server.cut();
  server.say("day.");
  server.end();
  const conversation = talk.id as string;
  const row = server.log(conversation).rows.get(server.newest);
  server.log(conversation).rows.delete(server.newest);
  server.log(conversation).leaf = row?.parent ?? null;
  server.lose(conversation);
  outside.answer = () => new Response("", { status: 503 });
  await outside.pass(500);
  assert.match(
    outside.requests[0]?.url ?? "",
    new RegExp(`conversations/${conversation}/messages\\?leaf=`),
  );
  outside.answer = () => Response.json({ items: [row] });
  server.cut();
  server.lose(conversation);
  await outside.pass(2000);
  assert.equal((await answer.done).content, "Good day.");
  assert.equal(answer.text, "Good day.");
  assert.equal(said.at(-1), "Good day.");
  assert.equal(talk.status, "ready");
});

test("a message that was taken, and is answered on a branch that is not shown, waits for nothing", async () => {
  const { server, outside, parley } = await open();
  const talk = parley.conversation();
  await answered(server, talk.send("Hello"), "Hi");
  const second = talk.send("More");
  await quiet();
  const newest = server.newest;
  server.say("Even more.");
  server.end();
  await second.done;
  const conversation = talk.id as string;
  const row = server.log(conversation).rows.get(newest);
  // As after a reload whose message was taken without its page having heard of it.
  const key = "parley:unsent:https://chat.example/";
  const frame = server.of("chat")[1];
  const reloaded = new FakeOutside(server, outside);
  outside.tab?.setItem(key, JSON.stringify({ [conversation]: [{ frame, at: NOON }] }));
  for (const id of [newest, row?.parent ?? ""]) server.log(conversation).rows.delete(id);
  server.log(conversation).leaf = talk.messages[1]?.id ?? null;
  server.lose(conversation);
  reloaded.answer = () => Response.json({ items: [row] });
  const again = client(reloaded).connect().conversation(conversation);
  await quiet();
  await quiet();
  assert.equal(again.status, "ready");
  assert.deepEqual(contents(again), ["Hello", "Hi"]);
});

test("what is sent offline leaves in order when the connection is back", async () => {
  const { server, parley } = made();
  const talk = parley.conversation();
  const first = talk.send("one");
  talk.send("two");
  assert.deepEqual(
    talk.messages.map(({ delivery }) => delivery),
    ["unsent", "unsent"],
  );
  parley.connect();
  await quiet();
  await first.accepted;
  await quiet();
  const [one, two] = server.of("chat");
  assert.deepEqual([one?.content, one?.conversation], ["one", undefined]);
  assert.deepEqual([two?.content, two?.conversation], ["two", talk.id]);
  assert.equal(talk.messages.filter(({ role }) => role === "user").length, 2);
});

test("another answer, another question and another branch wait behind what was sent before them", async () => {
  const { server, outside, parley } = await open();
  const talk = parley.conversation();
  const first = talk.send("one");
  await quiet();
  server.end();
  const { id, parent } = await first.done;
  server.refusals = [{ type: "chat", code: "unavailable", retryable: true, times: 2 }];
  const asked = server.received.length;
  talk.send("two");
  talk.regenerate(id);
  const chosen = talk.select(id);
  talk.edit(parent as string, "three");
  talk.send("four");
  await outside.pass(10_000);
  await chosen;
  assert.deepEqual(server.kinds().slice(asked), [
    ...["chat", "chat", "chat"],
    ...["regenerate", "select", "edit", "chat"],
  ]);
});

test("a message whose `ack` was lost is sent again with its id, and shown once", async () => {
  const { server, outside, parley } = await open();
  const talk = parley.conversation();
  server.silent = true;
  const answer = talk.send("Hello");
  await quiet();
  assert.equal(talk.messages[0]?.delivery, "sent");
  server.cut();
  await quiet();
  assert.equal(talk.messages[0]?.delivery, "unsent", "until it leaves again");
  server.silent = false;
  await outside.pass(500);
  await answer.accepted;
  const [lost, again] = server.of("chat");
  assert.deepEqual(again, lost);
  await quiet();
  assert.equal(talk.messages.filter(({ role }) => role === "user").length, 1);
});

test("an unsent message survives a reload, for whoever wrote it", async () => {
  const { server, outside, parley } = made();
  parley.conversation().send("Hello");
  assert.deepEqual(contents(parley.conversation()), []); // another new one has nothing of the first
  const reloaded = client(new FakeOutside(server, outside));
  const talk = reloaded.conversation();
  assert.deepEqual(contents(talk), ["Hello"]);
  assert.deepEqual(contents(reloaded.conversation()), []);
  reloaded.connect();
  await quiet();
  assert.equal(server.of("chat").length, 1);
  assert.deepEqual(contents(client(new FakeOutside(server, outside)).conversation()), []);
});

test("what an earlier page left unsent in other conversations is sent too, once they are asked for", async () => {
  const { server, outside, parley } = await open();
  server.silent = true;
  parley.conversation("c_1").send("to the first");
  parley.conversation("c_2").send("to the second");
  parley.conversation().send("to a new one");
  await quiet();
  server.silent = false;
  server.received.length = 0;
  const reloaded = client(new FakeOutside(server, outside)).connect();
  const shown = reloaded.conversation("c_2");
  const all = reloaded.unsent();
  assert.deepEqual(all.flatMap(contents), ["to the first", "to the second", "to a new one"]);
  assert.ok(all.includes(shown));
  await quiet();
  assert.equal(server.of("chat").length, 3);
  assert.deepEqual(client(new FakeOutside(server, outside)).unsent(), []);
});

test("two objects of one conversation keep what is unsent in either", async () => {
  const { server, outside, parley } = made();
  const [one, other] = [parley.unopened("c_1"), parley.unopened("c_1")];
  for (const talk of [one, other]) talk.open();
  one.send("from the one");
  other.send("from the other");
  one.send("from the one again");
  const reloaded = client(new FakeOutside(server, outside));
  assert.deepEqual(contents(reloaded.conversation("c_1")).sort(), [
    "from the one",
    "from the one again",
    "from the other",
  ]);
  reloaded.connect();
  await quiet();
  assert.equal(server.of("chat").length, 3);
  assert.deepEqual(client(new FakeOutside(server, outside)).unsent(), []);
});

test("each new conversation keeps what is unsent in a place of its own", async () => {
  const { server, outside, parley } = await open();
  const talks = [parley.conversation(), parley.conversation()];
  talks[0]?.send("one");
  server.silent = true;
  talks[1]?.send("two");
  await quiet();
  server.silent = false;
  talks.push(parley.conversation());
  assert.deepEqual(contents({ messages: talks[2]?.messages ?? [] }), []);
  const unused = [parley.conversation(), parley.conversation(), parley.conversation()];
  assert.equal(unused.length, 3);
  const reloaded = client(new FakeOutside(server, outside));
  assert.deepEqual(contents(reloaded.conversation()), ["two"]);
});

test("what somebody else left unsent in this tab is not sent, and takes nothing else with it", async () => {
  const { server, outside, parley } = await open();
  server.silent = true;
  parley.conversation().send("Ada's");
  await quiet();
  server.silent = false;
  server.cut();
  server.received.length = 0;
  server.welcome = { ...welcome, user: "eve" };
  const other = client(new FakeOutside(server, outside));
  const talk = other.conversation();
  const own = talk.send("Eve's");
  other.connect();
  await own.accepted;
  await quiet();
  assert.deepEqual(
    server.of("chat").map(({ content }) => content),
    ["Eve's"],
  );
  assert.deepEqual(contents(talk), ["Eve's", ""]);
});

test("without a WebSocket there is a client, which says at `connect` what is missing", () => {
  const outside = Object.assign(new FakeOutside(new FakeServer()), { WebSocket: undefined });
  const parley = client(outside as FakeOutside);
  assert.deepEqual(parley.conversation("c").messages, []);
  assert.throws(() => parley.connect(), /No WebSocket here: pass the class of `ws`/);
  assert.deepEqual(parley.connection, { state: "idle" });
});

test("where there is no tab each client keeps its own", () => {
  const server = new FakeServer();
  const outside = new FakeOutside(server);
  Object.assign(outside, { tab: undefined });
  client(outside).conversation().send("Ada's");
  assert.deepEqual(contents(client(outside).conversation()), []);
});

test("a refused message fails visibly, and is sent again with the same id", async () => {
  const { server, parley } = await open();
  server.refusals = [{ type: "chat", code: "content_blocked", retryable: false, times: 1 }];
  const talk = parley.conversation();
  const answer = talk.send("Hello");
  await assert.rejects(answer.accepted, fails("content_blocked"));
  await assert.rejects(answer.done, fails("content_blocked"));
  const [message] = talk.messages;
  assert.equal(message?.delivery, "failed");
  assert.equal(message?.error?.code, "content_blocked");
  assert.equal(talk.status, "error");
  const again = talk.retry(message?.id ?? "");
  await again.accepted;
  assert.equal(new Set(server.of("chat").map(({ id }) => id)).size, 1);
});

test("behind a failed first message of a new conversation the next ones wait", async () => {
  const { server, parley } = await open();
  server.refusals = [{ type: "chat", code: "content_blocked", retryable: false, times: 1 }];
  const talk = parley.conversation();
  talk.send("bad");
  const good = talk.send("good");
  await quiet();
  assert.equal(server.of("chat").length, 1);
  talk.discard(talk.messages[0]?.id ?? "");
  await good.accepted;
  assert.deepEqual(contents(talk), ["good", ""]);
});

test("an unsent message is taken back, a sent one is stopped when its answer has a name", async () => {
  const { server, outside, parley } = made();
  const talk = parley.conversation();
  const unsent = talk.send("never");
  await unsent.stop();
  await assert.rejects(unsent.accepted, fails("withdrawn"));
  assert.deepEqual(talk.messages, []);

  parley.connect();
  await quiet();
  server.silent = true;
  const sent = talk.send("Hello");
  await quiet();
  await sent.stop();
  server.cut();
  server.silent = false;
  await outside.pass(500);
  assert.equal((await sent.done).outcome, "stopped");
});

test("stop ends whatever the conversation waits for", async () => {
  const { server, parley } = await open();
  const talk = parley.conversation();
  const answer = talk.send("Hello");
  await quiet();
  server.say("Go");
  await talk.stop();
  assert.equal((await answer.done).outcome, "stopped");
  assert.deepEqual(contents(talk), ["Hello", "Go"]);
});

test("another answer and another question stand beside the first ones", async () => {
  const { server, parley } = await open();
  const talk = parley.conversation();
  const first = await answered(server, talk.send("Hello"), "one");
  const second = talk.regenerate(first.id);
  assert.deepEqual(contents(talk), ["Hello"]);
  assert.equal(talk.status, "submitted");
  await quiet();
  await answered(server, second, "two");
  assert.deepEqual(contents(talk), ["Hello", "two"]);
  assert.equal(talk.messages[1]?.siblings.length, 2);

  const third = talk.edit(talk.messages[0]?.id ?? "", "Good day");
  assert.deepEqual(contents(talk), ["Good day"]);
  await quiet();
  await answered(server, third, "three");
  assert.deepEqual(contents(talk), ["Good day", "three"]);
  assert.equal(talk.messages[0]?.siblings.length, 2);

  await talk.select(first.id);
  await quiet();
  assert.deepEqual(contents(talk), ["Hello", "one"]);
});

async function answered(
  server: FakeServer,
  answer: ReturnType<ReturnType<ParleyClient["conversation"]>["send"]>,
  text: string,
) {
  await answer.accepted;
  server.say(text);
  server.end();
  return answer.done;
}

test("a chosen branch that is not known here is fetched", async () => {
  const { server, parley } = await open();
  const talk = parley.conversation();
  const first = await answered(server, talk.send("Hello"), "one");
  await answered(server, talk.edit(talk.messages[0]?.id ?? "", "Good day"), "two");
  const other = client(new FakeOutside(server)).connect().conversation(talk.id);
  await quiet();
  assert.deepEqual(contents(other), ["Good day", "two"]);
  await talk.select(first.id);
  await quiet();
  assert.deepEqual(contents(other), ["Hello", "one"]);
});

test("an answer that runs is read by its name, whoever asked for it", async () => {
  const { server, outside, parley } = await open();
  const before = parley.conversation();
  before.send("Hello");
  await quiet();
  server.say("Good ");
  await quiet();
  const { id } = before;
  parley.close();
  const talk = client(new FakeOutside(server, outside)).connect().conversation(id);
  const answer = talk.answer(server.newest);
  assert.equal(talk.answer(server.newest), answer);
  const said: string[] = [];
  const reading = (async () => {
    for await (const { delta = "!" } of answer) said.push(delta);
  })();
  await quiet();
  server.say("day.");
  await quiet();
  server.end();
  await reading;
  assert.deepEqual(said, ["Good ", "day."]);
  assert.equal((await answer.done).outcome, "complete");
  assert.equal((await talk.answer(server.newest).done).content, "Good day.");
  await assert.rejects(talk.answer("nobody's").done, fails("unavailable"));
});

test("older messages come before those that are shown", async () => {
  const { server, parley } = await open();
  const talk = parley.conversation();
  for (let turn = 0; turn < 30; turn++) await answered(server, talk.send(`q${turn}`), `a${turn}`);
  const other = client(new FakeOutside(server)).connect().conversation(talk.id);
  await quiet();
  assert.equal(other.messages.length, 50);
  assert.equal(other.more, true);
  await other.history();
  await quiet();
  assert.equal(other.messages.length, 60);
  assert.equal(other.more, false);
  assert.equal(other.messages[0]?.content, "q0");
});

test("messages that did not change stay the same objects", async () => {
  const { server, parley } = await open();
  const talk = parley.conversation();
  await answered(server, talk.send("one"), "first");
  talk.send("two");
  await quiet();
  const before = talk.messages;
  server.say("sec");
  await quiet();
  const after = talk.messages;
  assert.deepEqual(
    after.map((message, at) => message === before[at]),
    [true, true, true, false],
  );
});

test("messages that a snapshot shows as they were stay the same objects", async () => {
  const { server, outside, parley } = await open();
  const talk = parley.conversation();
  await answered(server, talk.send("one"), "One.");
  const before = [...talk.messages];
  server.cut();
  server.lose(talk.id as string);
  await outside.pass(500);
  await answered(server, talk.send("two"), "Two.");
  assert.equal(talk.messages[0], before[0]);
  assert.equal(talk.messages[1], before[1]);
  assert.equal(talk.messages.length, 4);
});

test("what was thought is shown also where the end was missed", async () => {
  const { server, outside, parley } = await open();
  const talk = parley.conversation();
  const answer = talk.send("one");
  await quiet();
  const thought = { type: "thought", answer: server.newest, offset: 0, text: "Hm." } as const;
  server.tell({ ...thought, conversation: talk.id as string });
  server.say("One.");
  await quiet();
  server.cut();
  server.end();
  server.lose(talk.id as string);
  await outside.pass(500);
  assert.deepEqual([answer.text, answer.thought], ["One.", "Hm."]);
});

test("a change is told once per turn, however many frames came", async () => {
  const { server, parley } = await open();
  const talk = parley.conversation();
  talk.send("Hello");
  await quiet();
  let told = 0;
  talk.on("change", () => told++);
  talk.took({ type: "presence", conversation: talk.id ?? "", sockets: 1 });
  talk.took({ type: "presence", conversation: talk.id ?? "", sockets: 2 });
  await quiet();
  assert.equal(told, 1);
  server.say("x");
  await quiet();
  assert.equal(told, 2);
});

test("a call is approved with the hash of the arguments that were shown", async () => {
  const { server, parley } = await open();
  const talk = parley.conversation();
  talk.send("Send it");
  await quiet();
  const tool = { call: "k", name: "mail", state: "awaiting_approval", args_hash: "9f86" } as const;
  server.tell({ type: "tool", conversation: talk.id ?? "", answer: server.newest, ...tool });
  await quiet();
  assert.equal(talk.messages.at(-1)?.tools?.[0]?.state, "awaiting_approval");
  await talk.approve("k", true);
  assert.deepEqual(
    server.of("approve").map(({ call, args_hash, allow }) => [call, args_hash, allow]),
    [["k", "9f86", true]],
  );
});

test("a conversation that is not ours says so", async () => {
  const { parley } = await open();
  const talk = parley.conversation("c_of_a_stranger");
  await quiet();
  assert.equal(talk.error?.code, "not_found");
});

test("one conversation is one object, and is followed until it is closed", async () => {
  const { server, parley } = await open();
  const talk = parley.conversation();
  await answered(server, talk.send("Hello"), "Hi");
  assert.equal(parley.conversation(talk.id), talk);
  talk.close();
  await quiet();
  assert.equal(server.of("detach").length, 1);
  assert.notEqual(parley.conversation(talk.id), talk);
});

test("a conversation that is deleted elsewhere is told to be gone, and its answers end", async () => {
  const { server, parley } = await open();
  const talk = parley.conversation();
  const answer = talk.send("Hello");
  await quiet();
  const at = "2026-11-20T09:30:00.000Z";
  const rest = { title: null, leaf: null, message_count: 2, created_at: at, updated_at: at };
  const conversation = { id: talk.id as string, status: "active", ...rest } as const;
  server.tellAll({ type: "conversations", change: "deleted", conversation });
  await assert.rejects(answer.done, fails("not_found"));
  assert.equal(talk.error?.code, "not_found");
});

test("typing leaves every three seconds at most", async () => {
  const { server, outside, parley } = await open();
  const talk = parley.conversation();
  await answered(server, talk.send("Hello"), "Hi");
  talk.typing();
  talk.typing();
  await outside.pass(3000);
  talk.typing();
  assert.equal(server.of("typing").length, 2);
});

test("tokens are renewed on the open socket, and asked for again when they ended", async () => {
  const asked: string[] = [];
  const token = (why: string) => {
    asked.push(why);
    return `t-${asked.length}`;
  };
  const { server, outside, parley } = await open({ token });
  server.tellAll({ type: "expiring", in_s: 60 });
  await quiet();
  assert.deepEqual(
    server.of("auth").map((frame) => frame.token),
    ["t-2"],
  );
  server.cut(4002);
  await outside.pass(60_000);
  assert.equal(parley.connection.state, "open");
  assert.deepEqual(asked, ["first", "expiring", "expired"]);
  assert.equal(server.of("hello").at(-1)?.token, "t-3");
});

test("without a new token the end of the old one is the end", async () => {
  const { server, outside, parley } = await open();
  server.cut(4002);
  await outside.pass(120_000);
  assert.equal(parley.connection.state, "closed");
  assert.equal(server.of("hello").length, 1);
});

test("tokens that are over as soon as they are made are not asked for without end", async () => {
  let asked = 0;
  const { server, outside, parley } = await open({ token: () => `t-${++asked}` });
  server.over = true;
  server.cut(4002);
  await outside.pass(600_000);
  assert.equal(parley.connection.state === "closed" && parley.connection.error?.code, "closed");
  assert.equal(asked, 2);
  server.over = false;
  parley.connect();
  await quiet();
  assert.equal(parley.connection.state, "open");
});

test("the socket and HTTP share a token, whichever asks first", async () => {
  let asked = 0;
  const { outside, parley } = made({ token: () => `t-${++asked}` });
  outside.answer = () => Response.json({ items: [] });
  await Promise.all([parley.connect().fetch("conversations"), parley.fetch("conversations")]);
  assert.equal(asked, 1);
});

test("a token that takes long serves the next attempt, and one that never comes is asked for anew", async () => {
  const asked: ((token: string) => void)[] = [];
  const token = () => new Promise<string>((resolve) => asked.push(resolve));
  const { outside, parley } = made({ token });
  parley.connect();
  await outside.pass(20_000); // the attempt's own time is over
  assert.equal(asked.length, 1);
  asked[0]?.("t-1");
  await outside.pass(20_000);
  assert.equal(parley.connection.state, "open");

  const hangs = made({ token });
  asked.length = 0;
  hangs.parley.connect();
  await hangs.outside.pass(200_000);
  assert.ok(asked.length >= 2 && asked.length <= 5, `${asked.length}`);
});

test("whoever brings tokens may be away for a while", async () => {
  let fails = 2;
  const token = async () => {
    if (fails-- > 0) throw new TypeError("network");
    return "t-1";
  };
  const { outside, parley } = made({ token });
  parley.connect();
  await outside.pass(60_000);
  assert.equal(parley.connection.state, "open");
});

test("a visitor comes back as who they were", async () => {
  const { server, outside, parley } = made({ token: undefined as never, site: "site-1" });
  let served = 0;
  outside.answer = () =>
    Response.json(
      { token: `v-${++served}`, visitor: "v", renewal: `r-${served}`, expires_at: "" },
      { status: 201 },
    );
  parley.connect();
  await quiet();
  assert.equal(server.of("hello")[0]?.token, "v-1");
  client(outside, { token: undefined as never, site: "site-1" }).connect();
  await quiet();
  const bodies = outside.requests.map(({ init }) => JSON.parse(init.body as string) as unknown);
  assert.deepEqual(bodies, [{ site: "site-1" }, { site: "site-1", renewal: "r-1" }]);
});

test("a visitor's token that is still good is used again, and a newer one of another tab is taken", async () => {
  const { server, outside, parley } = made({ token: undefined as never });
  let served = 0;
  const expires_at = new Date(Date.now() + 3_600_000).toISOString();
  outside.answer = () => {
    const name = ++served;
    return Response.json({ token: `v-${name}`, visitor: "v", renewal: `r-${name}`, expires_at });
  };
  parley.connect();
  await quiet();
  const other = new FakeOutside(server, outside);
  other.answer = outside.answer;
  client(other, { token: undefined as never }).connect();
  await quiet();
  assert.deepEqual(
    server.of("hello").map(({ token }) => token),
    ["v-1", "v-1"],
  );
  server.tellAll({ type: "expiring", in_s: 60 });
  await quiet();
  const tokens = server.of("auth").map(({ token }) => token);
  assert.equal(tokens.length, 2);
  const kept = JSON.parse(outside.site.getItem("parley:visitor:https://chat.example/:") ?? "");
  assert.deepEqual(new Set(tokens), new Set([kept.token]));
});

test("an answer that is none of the server's does not make a visitor forget who they are", async () => {
  const { outside, parley } = made({ token: undefined as never });
  const kept = { token: "v-1", renewal: "r-1", expires_at: "2020-01-01T00:00:00.000Z" };
  const key = "parley:visitor:https://chat.example/:";
  outside.site.setItem(key, JSON.stringify(kept));
  outside.answer = () => new Response("<h1>Maintenance</h1>");
  parley.connect();
  await outside.pass(10_000);
  assert.notEqual(parley.connection.state, "open");
  assert.deepEqual(JSON.parse(outside.site.getItem(key) ?? ""), kept);
});

test("what a proxy refuses for a while is tried again, when it says", async () => {
  const { outside, parley } = made({ token: undefined as never });
  outside.answer = () =>
    Response.json(
      { error: { code: 503, message: "no upstream" } },
      { status: 503, headers: { "Retry-After": "120" } },
    );
  parley.connect();
  await outside.pass(119_000);
  assert.equal(outside.requests.length, 1);
  await outside.pass(2000);
  assert.equal(outside.requests.length, 2);
});

test("a page whose visitors are not let in is told why, and asks no more", async () => {
  const { outside, parley } = made({ token: undefined as never });
  const error = { code: "forbidden", message: "Not from there.", retryable: false, trace: "x" };
  outside.answer = () => Response.json({ error }, { status: 403 });
  parley.connect();
  await outside.pass(120_000);
  assert.equal(parley.connection.state, "closed");
  assert.equal(
    parley.connection.state === "closed" && parley.connection.error?.message,
    "Not from there.",
  );
  assert.equal(outside.requests.length, 1);
});

test("a token too long for `hello` becomes a ticket", async () => {
  const { server, outside, parley } = made({ token: "x".repeat(5000) });
  outside.answer = () => Response.json({ ticket: "once", expires_at: "" }, { status: 201 });
  parley.connect();
  await quiet();
  assert.equal([...server.sockets][0]?.url, "wss://chat.example/ws?ticket=once");
  assert.equal(server.of("hello")[0]?.token, undefined);
});

test("a request over HTTP goes with a fresh token where the old one ended", async () => {
  const { outside, parley } = made({ token: (why) => `t-${why}` });
  outside.answer = (_, { headers }) =>
    (headers as Record<string, string>)["Authorization"] === "Bearer t-expired"
      ? Response.json({ items: [] })
      : Response.json(
          { error: { code: "unauthenticated", message: "Ended.", retryable: false } },
          { status: 401 },
        );
  assert.deepEqual(await parley.fetch("conversations"), { items: [] });
  assert.deepEqual(
    outside.requests.map(({ url }) => url),
    Array(2).fill("https://chat.example/api/v1/conversations"),
  );
});

test("the curious see every frame but no token", async () => {
  const { server, parley } = made();
  const seen: string[] = [];
  parley.on("frame", ({ direction, frame }) =>
    seen.push(`${direction} ${frame.type} ${JSON.stringify(frame).includes("t-1")}`),
  );
  parley.connect();
  await quiet();
  assert.deepEqual(seen, ["out hello false", "in welcome false"]);
  assert.equal(server.of("hello")[0]?.token, "t-1");
});

test("a server that is going away is read on, and left when it says", async () => {
  const { server, outside, parley } = await open();
  server.tellAll({ type: "goaway", reason: "shutdown", reconnect_after_ms: 1840 });
  await quiet();
  assert.deepEqual(parley.connection, { state: "open", draining: true });
  const answer = parley.conversation().send("One more");
  await outside.pass(1839);
  assert.deepEqual(server.of("chat"), []);
  await outside.pass(1000);
  await answer.accepted;
  assert.equal(server.of("hello").length, 2);
});

test("a silent socket is asked for life, and given up", async () => {
  const { server, outside, parley } = await open();
  server.silent = true;
  await outside.pass(37_500);
  assert.equal(server.of("ping").length, 1);
  server.refuses = true;
  await outside.pass(10_000);
  assert.deepEqual(server.closes, [4008]);
  assert.notEqual(parley.connection.state, "open");
});

test("one timer serves the frames of a second, and none is left behind", async () => {
  const { server, outside, parley } = await open();
  parley.conversation().send("Hello");
  await quiet();
  const before = outside.timers;
  for (let n = 0; n < 200; n++) {
    server.say("word ");
    await outside.pass(5);
  }
  assert.ok(outside.timers - before <= 2, `${outside.timers - before} timers`);
  assert.equal(outside.waiting, 1);
  parley.close();
  assert.equal(outside.waiting, 0);
});

test("a moment that a server forgets to name is none to wait for", async () => {
  const { server, outside } = await open();
  server.tellAll({ type: "goaway", reason: "shutdown" } as never);
  await quiet();
  assert.equal(outside.waiting, 0);
});

for (const code of [1002, 1003, 1007, 1009, 4500, 4501, 4503, 4507, 4999]) {
  test(`after ${code} nothing more is tried`, async () => {
    const { server, outside, parley } = await open();
    server.cut(code);
    await outside.pass(600_000);
    assert.deepEqual(parley.connection, { state: "closed", reason: code });
    assert.equal(server.of("hello").length, 1);
  });
}

for (const code of [1000, 1001, 1005, 1006, 1011, 1012, 1013, 3000, 4001, 4004, 4499]) {
  test(`after ${code} it comes back`, async () => {
    const { server, outside, parley } = await open();
    server.cut(code);
    await outside.pass(1000);
    assert.equal(parley.connection.state, "open");
    assert.equal(server.of("hello").length, 2);
  });
}

test("it never gives up, and can be told to try now", async () => {
  const { server, outside, parley } = made();
  outside.chanced = 0.999;
  server.refuses = true;
  parley.connect();
  await outside.pass(3_600_000);
  assert.equal(parley.connection.state, "waiting");
  server.refuses = false;
  parley.reconnect();
  await quiet();
  assert.equal(parley.connection.state, "open");
});

test("a server that says nonsense is left, and what it meant is asked for anew", async () => {
  const { server, outside, parley } = await open();
  const talk = parley.conversation();
  await answered(server, talk.send("Hello"), "Hi");
  server.tellAll({ type: "attached", conversation: talk.id, recovered: false } as never);
  await quiet();
  assert.equal(parley.connection.state, "waiting");
  await outside.pass(500);
  assert.deepEqual([talk.level, contents(talk)], [true, ["Hello", "Hi"]]);
});

test("a listener may close and connect again, and one socket is left", async () => {
  const { server, outside, parley } = await open();
  let once = true;
  parley.on("notice", () => {
    if (once) parley.close();
    if (once) parley.connect();
    once = false;
  });
  server.tellAll({ type: "notice", reason: "operator", text: "x" });
  await outside.pass(1000);
  assert.equal(parley.connection.state, "open");
  assert.equal(server.sockets.size, 1);
});

test("a message is what it was when it was sent", async () => {
  const { server, outside, parley } = await open();
  const metadata = { page: "one" };
  server.silent = true;
  parley.conversation().send("Hello", { metadata });
  metadata.page = "two";
  await quiet();
  server.cut();
  server.silent = false;
  await outside.pass(500);
  assert.deepEqual(
    server.of("chat").map((frame) => frame.metadata),
    [{ page: "one" }, { page: "one" }],
  );
  const talk = parley.conversation();
  assert.throws(() => talk.send("Hello", { metadata: { n: 1n as never } }));
  assert.deepEqual(talk.messages, []);
});

test("what a listener asks for is done", async () => {
  const { server, parley } = made();
  parley.on("state", ({ state }) => state === "open" && parley.conversation().send("Hello"));
  parley.connect();
  await quiet();
  assert.equal(server.of("chat").length, 1);
});

test("who is shut out for good waits for nothing, and may try again", async () => {
  const { server, outside, parley } = await open();
  const talk = parley.conversation();
  const running = talk.send("Hello");
  await quiet();
  server.say("Good ");
  const reading = (async () => {
    for await (const _ of running);
  })();
  server.silent = true;
  const waiting = talk.send("More");
  await quiet();
  server.silent = false;
  server.cut(4501);
  await assert.rejects(running.done, fails("closed"));
  await assert.rejects(reading, fails("closed"));
  await assert.rejects(waiting.accepted, fails("closed"));
  assert.deepEqual(
    [talk.messages.at(-1)?.content, talk.messages.at(-1)?.delivery],
    ["More", "failed"],
  );
  parley.connect();
  await outside.pass(1000);
  await talk.retry(talk.messages.at(-1)?.id ?? "").accepted;
  assert.equal(new Set(server.of("chat").map(({ id }) => id)).size, 2);
});

test("two objects of one conversation both hear of it, and it is followed for the last", async () => {
  const { server, parley } = await open();
  const first = parley.conversation();
  await answered(server, first.send("Hello"), "Hi");
  first.close();
  const second = parley.conversation(first.id);
  first.open();
  await quiet();
  const third = second.send("More");
  await quiet();
  await answered(server, third, "Even more");
  assert.deepEqual(contents(first), ["Hello", "Hi", "More", "Even more"]);
  server.received.length = 0;
  second.close();
  assert.deepEqual(server.kinds(), []);
  first.close();
  assert.deepEqual(server.kinds(), ["detach"]);
});

test("a refused repetition is told", async () => {
  const { server, parley } = await open();
  const told: string[] = [];
  parley.on("error", ({ code }) => told.push(code));
  const talk = parley.conversation();
  const { id } = await answered(server, talk.send("Hello"), "Hi");
  server.refusals = [{ type: "regenerate", code: "quota_exceeded", retryable: false, times: 1 }];
  await assert.rejects(talk.regenerate(id).accepted, fails("quota_exceeded"));
  assert.deepEqual(told, ["quota_exceeded"]);
  assert.deepEqual(contents(talk), ["Hello", "Hi"]);
});

test("a listener that throws harms nobody", async (t) => {
  const thrown: unknown[] = [];
  const later = globalThis.queueMicrotask;
  t.after(() => Object.assign(globalThis, { queueMicrotask: later }));
  // What is thrown in a turn of its own would end the program.
  globalThis.queueMicrotask = (task) =>
    later(() => {
      try {
        task();
      } catch (error) {
        thrown.push(error);
      }
    });
  const { server, parley } = await open();
  const talk = parley.conversation();
  talk.on("change", () => {
    throw new Error("theirs");
  });
  let told = 0;
  talk.on("change", () => told++);
  await answered(server, talk.send("Hello"), "Hi");
  assert.match(String(thrown[0]), /theirs/);
  assert.equal(told, thrown.length);
  assert.deepEqual(contents(talk), ["Hello", "Hi"]);
});

test("a wait that no timer bears is as long as one can be", (t) => {
  const { mock } = t.mock.method(globalThis, "setTimeout");
  world.after(2 ** 40, () => {})();
  assert.equal(mock.calls[0]?.arguments[1], 2 ** 31 - 1);
});

test("what one person asked is not sent as another one's, who comes in their place", async () => {
  const { server, outside, parley } = await open();
  const talk = parley.conversation();
  server.silent = true;
  const sent = talk.send("Ada's, and under way");
  await quiet();
  server.cut();
  await quiet();
  const other = parley.conversation();
  const unsent = other.send("Ada's, and unsent");
  server.silent = false;
  server.received.length = 0;
  server.welcome = { ...welcome, user: "eve" };
  await outside.pass(500);
  assert.equal(parley.connection.state, "open");
  assert.deepEqual(server.kinds(), ["hello"]);
  await assert.rejects(sent.accepted, fails("withdrawn"));
  await assert.rejects(unsent.done, fails("withdrawn"));
  assert.deepEqual([contents(talk), contents(other)], [[], []]);
});

test("a message from before anybody was known is of whoever it was sent as", async () => {
  const { server, outside, parley } = made();
  parley.conversation().send("Ada's");
  server.silent = true;
  parley.connect();
  await quiet();
  [...server.sockets][0]?.tell(welcome);
  await quiet();
  assert.equal(server.of("chat").length, 1);
  server.silent = false;
  server.received.length = 0;
  server.welcome = { ...welcome, user: "eve" };
  const other = client(new FakeOutside(server, outside)).connect();
  other.unsent();
  await quiet();
  assert.deepEqual(server.of("chat"), []);
});

test("a message that is taken back where its conversation was closed and opened again is not sent", async () => {
  const { server, parley } = made();
  parley.conversation("c_1").send("never");
  parley.conversation("c_1").close();
  const again = parley.conversation("c_1");
  assert.deepEqual(contents(again), ["never"]);
  again.discard(again.messages[0]?.id ?? "");
  parley.connect();
  await quiet();
  assert.deepEqual(server.of("chat"), []);
});

test("a message that was under way when its new conversation was closed is none of the next one's", async () => {
  const { server, outside, parley } = await open();
  const first = parley.conversation();
  const answer = first.send("Hello");
  first.close();
  const next = parley.conversation();
  assert.deepEqual(contents(next), []);
  await answer.accepted;
  await assert.rejects(answer.done, fails("closed"));
  await quiet();
  assert.deepEqual(server.kinds(), ["hello", "chat", "detach"]);
  assert.equal(next.id, undefined);
  assert.deepEqual(client(new FakeOutside(server, outside)).unsent(), []);
});

test("who is shut out for good gets an answer to whatever they asked", async () => {
  const { server, outside, parley } = await open();
  const talk = parley.conversation();
  await answered(server, talk.send("Hello"), "Hi");
  server.silent = true;
  const asked = [talk.history(), talk.feedback("a", "up"), talk.stop("a")];
  const told = Promise.all(asked.map((one) => assert.rejects(one, fails("closed"))));
  await quiet();
  server.silent = false;
  server.cut(4501);
  await told;
  server.received.length = 0;
  parley.connect();
  await outside.pass(500);
  assert.deepEqual(server.kinds(), ["hello"]);
});

test("a listener that closes and connects again asks for a token, maybe of somebody else", async () => {
  const tokens = ["ada's", "eve's"];
  const { server, outside, parley } = await open({ token: () => tokens.shift() });
  parley.on("notice", () => {
    parley.close();
    parley.connect();
  });
  server.tellAll({ type: "notice", reason: "operator", text: "x" });
  await outside.pass(1000);
  assert.deepEqual(
    server.of("hello").map(({ token }) => token),
    ["ada's", "eve's"],
  );
});

test("what an earlier page left is sent also where its conversation was closed while the connection opened", async () => {
  const { server, outside, parley } = made();
  parley.conversation("c_1").send("Hello");
  const reloaded = client(new FakeOutside(server, outside)).connect();
  const talk = reloaded.conversation("c_1");
  talk.close();
  await quiet();
  talk.open();
  await quiet();
  assert.equal(server.of("chat").length, 1);
});
