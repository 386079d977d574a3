/** Parley under the chat of the Vercel AI SDK: what its users see, whatever the server and the network do. */

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  AbstractChat,
  type ChatInit,
  type ChatState,
  type ChatStatus,
  lastAssistantMessageIsCompleteWithApprovalResponses,
  lastAssistantMessageIsCompleteWithToolCalls,
  type UIMessage,
  uiMessageChunkSchema,
} from "ai";

import { ParleyChatTransport, type TransportOptions } from "../src/ai-sdk.ts";
import type { ToolCall } from "../src/frames.ts";
import { ParleyClient } from "../src/index.ts";
import { FakeOutside, quiet } from "./fakeOutside.ts";
import { FakeServer } from "./fakeServer.ts";

/** Whether a stream of this AI SDK can take back what it has said: that of 7 can. */
const takesBack = (await uiMessageChunkSchema().validate?.({ type: "reset-step" }))?.success;

/** As the bindings for frameworks keep it: each message a copy of its own. */
class State implements ChatState<UIMessage> {
  status: ChatStatus = "ready";
  error: Error | undefined;
  messages: UIMessage[];
  readonly history: string[] = [];

  constructor(messages: UIMessage[]) {
    this.messages = messages;
  }

  pushMessage = (message: UIMessage) => {
    this.messages = [...this.messages, this.snapshot(message)];
    this.#shown();
  };
  popMessage = () => {
    this.messages = this.messages.slice(0, -1);
  };
  replaceMessage = (index: number, message: UIMessage) => {
    const copy = this.snapshot(message);
    this.messages = this.messages.map((shown, place) => (place === index ? copy : shown));
    this.#shown();
  };
  snapshot = <Thing>(thing: Thing): Thing => structuredClone(thing);

  #shown(): void {
    this.history.push(textOf(this.messages.at(-1)));
  }
}

class Chat extends AbstractChat<UIMessage> {
  readonly shown: State;
  constructor(init: ChatInit<UIMessage>) {
    const state = new State(init.messages ?? []);
    super({ ...init, state });
    this.shown = state;
  }
}

function textOf(message: UIMessage | undefined): string {
  return message?.parts.map((part) => (part.type === "text" ? part.text : "")).join("") ?? "";
}

const texts = (chat: Chat) => chat.messages.map(textOf);

function page(server: FakeServer, options: TransportOptions = {}, init: ChatInit<UIMessage> = {}) {
  const outside = new FakeOutside(server);
  const url = "wss://chat.example/ws";
  const parley = new ParleyClient({ url, token: "t", storage: null }, outside).connect();
  const transport = new ParleyChatTransport(parley, options);
  const chat = new Chat({ id: "chat", transport, ...init });
  return { server, outside, parley, transport, chat };
}

async function open(options?: TransportOptions, init?: ChatInit<UIMessage>) {
  const opened = page(new FakeServer(), options, init);
  await quiet();
  return opened;
}

/** A chat that was told the beginning of an answer. */
async function begun(options?: TransportOptions, init?: ChatInit<UIMessage>) {
  const all = await open(options, init);
  const sending = all.chat.sendMessage({ text: "Hello" });
  await quiet();
  all.server.say("Good ");
  await quiet();
  return { ...all, sending };
}

async function answered() {
  const all = await begun();
  all.server.say("day.");
  all.server.end();
  await all.sending;
  return all;
}

test("an answer streams into the chat, under its own name", async () => {
  const { server, chat, sending } = await begun();
  assert.equal(chat.status, "streaming");
  assert.deepEqual(texts(chat), ["Hello", "Good "]);
  server.say("day.");
  server.end();
  await sending;
  assert.equal(chat.status, "ready");
  assert.deepEqual(texts(chat), ["Hello", "Good day."]);
  const { id, metadata } = chat.messages[1] as UIMessage<{ outcome: string }>;
  assert.deepEqual([id, metadata?.outcome], [server.newest, "complete"]);
});

test("an answer may have its name a while before it is there", async () => {
  const { server, chat } = await open();
  const [socket] = server.sockets;
  assert.ok(socket);
  const tell = socket.tell.bind(socket);
  const held: Parameters<typeof tell>[0][] = [];
  socket.tell = (frame) => (frame.type === "ack" ? tell(frame) : held.push(frame));
  const sending = chat.sendMessage({ text: "Hello" });
  await quiet();
  assert.equal(chat.status, "submitted");
  server.say("Good day.");
  server.end();
  for (const frame of held) tell(frame);
  await sending;
  assert.deepEqual([chat.status, ...texts(chat)], ["ready", "Hello", "Good day."]);
});

test("only the last message is sent; the conversation is the same one", async () => {
  const { server, chat } = await answered();
  const sending = chat.sendMessage({ text: "More" }, { body: { model: "m/2" } });
  await quiet();
  server.say("Yes.");
  server.end();
  await sending;
  const conversation = [...server.logs.keys()][0];
  assert.equal(server.logs.size, 1);
  const { id, ...frame } = server.of("chat")[1] as { id: string };
  assert.deepEqual(frame, { type: "chat", content: "More", model: "m/2", conversation });
  assert.deepEqual(texts(chat), ["Hello", "Good day.", "More", "Yes."]);
});

test("a cut in the middle is waited out, and nothing is doubled", async () => {
  const { server, outside, chat, sending } = await begun();
  server.cut();
  await quiet();
  assert.equal(chat.status, "streaming");
  server.say("day.");
  server.lose([...server.logs.keys()][0] as string);
  server.end();
  await outside.pass(60_000);
  await sending;
  assert.deepEqual(texts(chat), ["Hello", "Good day."]);
  assert.deepEqual(server.of("stop"), []);
  assert.deepEqual(new Set(chat.shown.history), new Set(["Hello", "", "Good ", "Good day."]));
});

test("the chat's `stop` ends the answer everywhere", async () => {
  const { server, chat, sending } = await begun();
  const id = server.newest;
  await chat.stop();
  await sending;
  await quiet();
  assert.deepEqual(server.of("stop"), [{ type: "stop", answer: id }]);
  assert.deepEqual([chat.status, ...texts(chat)], ["ready", "Hello", "Good "]);
});

test("`stop` before the server has taken the message takes it back", async () => {
  const { server, parley, chat } = await open();
  server.refuses = true;
  server.cut();
  await quiet();
  const sending = chat.sendMessage({ text: "Hello" });
  await quiet();
  assert.equal(chat.status, "submitted");
  await chat.stop();
  await sending;
  server.refuses = false;
  parley.reconnect();
  await quiet();
  assert.equal(chat.status, "ready");
  assert.deepEqual(server.of("chat"), []);
});

test("an abortion may be no more than leaving", async () => {
  const { server, transport, chat, sending } = await begun({ stopOnAbort: false });
  await chat.stop();
  await sending;
  await quiet();
  assert.deepEqual(server.of("stop"), []);
  await transport.stop("chat");
  assert.equal(server.of("stop").length, 1);
});

test("an answer that another device stops is ready, with what it said", async () => {
  const { server, chat, sending } = await begun();
  server.end(server.newest, "stopped");
  await sending;
  assert.deepEqual([chat.status, ...texts(chat)], ["ready", "Hello", "Good "]);
});

test("regenerating puts another answer in the place of the last", async () => {
  const { server, chat } = await answered();
  const first = server.newest;
  const regenerating = chat.regenerate();
  await quiet();
  server.say("Hi.");
  server.end();
  await regenerating;
  assert.equal(server.of("regenerate")[0]?.answer, first);
  assert.deepEqual(texts(chat), ["Hello", "Hi."]);
  const again = chat.regenerate({ messageId: server.newest });
  await quiet();
  server.say("Hey.");
  server.end();
  await again;
  assert.deepEqual(texts(chat), ["Hello", "Hey."]);
});

test("an edited message is asked anew, beside the old one", async () => {
  const { server, chat } = await answered();
  const asked = [...server.log([...server.logs.keys()][0] as string).rows.keys()][0];
  const messageId = chat.messages[0]?.id as string;
  const sending = chat.sendMessage({ text: "Hallo", messageId });
  await quiet();
  server.say("Guten Tag.");
  server.end();
  await sending;
  assert.equal(server.of("edit")[0]?.message, asked);
  assert.deepEqual(texts(chat), ["Hallo", "Guten Tag."]);
});

test("a message that the server refuses is an error, and can be sent again", async () => {
  const { server, chat } = await open();
  server.refusals = [{ type: "chat", code: "content_blocked", retryable: false, times: 1 }];
  await chat.sendMessage({ text: "Hello" });
  assert.equal(chat.status, "error");
  assert.equal(chat.error?.message, "content_blocked here");
  const again = chat.regenerate();
  await quiet();
  server.say("Good day.");
  server.end();
  await again;
  assert.equal(server.of("chat").length, 2);
  assert.deepEqual(texts(chat), ["Hello", "Good day."]);
});

test("an answer that fails is an error with the server's words", async () => {
  const { server, chat, sending } = await begun();
  server.end(server.newest, "failed");
  await sending;
  assert.deepEqual([chat.status, chat.error?.message], ["error", "It broke."]);
  assert.deepEqual(texts(chat), ["Hello", "Good "]);
});

test("whoever is shut out is told so", async () => {
  const { server, chat, sending } = await begun();
  server.cut(4505);
  await sending;
  assert.equal(chat.status, "error");
});

test("after a reload the running answer goes on, and `stop` ends it", async () => {
  const conversations = new Map<string, string>();
  const before = await begun({ conversations });
  const messages = before.chat.messages;
  before.parley.close();
  const { server } = before;
  const { chat } = page(server, { conversations }, { messages });
  const resuming = chat.resumeStream();
  await quiet();
  assert.deepEqual(texts(chat), ["Hello", "Good "]);
  server.say("day.");
  await quiet();
  assert.equal(chat.status, "streaming");
  assert.deepEqual(texts(chat), ["Hello", "Good day."]);
  const id = server.newest;
  await chat.stop();
  await resuming;
  await quiet();
  assert.deepEqual(server.of("stop"), [{ type: "stop", answer: id }]);
  assert.equal(chat.status, "ready");
});

test("resuming twice at once, as strict mode does, stops nothing", async () => {
  const conversations = new Map<string, string>();
  const before = await begun({ conversations });
  const { server } = before;
  const { chat } = page(server, { conversations }, { messages: before.chat.messages });
  await quiet();
  const resuming = Promise.all([chat.resumeStream(), chat.resumeStream()]);
  await quiet();
  server.say("day.");
  server.end();
  await resuming;
  assert.deepEqual(server.of("stop"), []);
  assert.deepEqual([chat.status, ...texts(chat)], ["ready", "Hello", "Good day."]);
});

test("where nothing runs, nothing is resumed", async () => {
  const { server, chat } = await answered();
  await chat.resumeStream();
  assert.deepEqual([chat.status, ...texts(chat)], ["ready", "Hello", "Good day."]);
  const other = page(server);
  await other.chat.resumeStream();
  assert.deepEqual([other.chat.status, other.chat.messages], ["ready", []]);
});

test("text that is given up is gone, and never doubled", async () => {
  let resuming: Promise<void> | undefined;
  const { server, chat, sending } = await begun({
    resume: () => (resuming = chat.resumeStream()),
  });
  server.reset();
  await quiet();
  server.say("Hello to you.");
  if (!takesBack) await sending;
  while (!takesBack && !resuming) await quiet();
  await quiet();
  server.end();
  await sending;
  await resuming;
  assert.deepEqual([chat.status, ...texts(chat)], ["ready", "Hello", "Hello to you."]);
  assert.equal(chat.error, undefined);
  assert.deepEqual(new Set(chat.shown.history), new Set(["Hello", "", "Good ", "Hello to you."]));
});

test("where the chat can neither take text back nor is resumed, that is an error", async () => {
  const { server, chat, sending } = await begun();
  server.reset();
  await quiet();
  server.say("Hello to you.");
  server.end();
  await sending;
  const now = takesBack ? ["ready", "Hello", "Hello to you."] : ["error", "Hello", "Good "];
  assert.deepEqual([chat.status, ...texts(chat)], now);
});

test("what the model thinks is shown as reasoning, and sources once", async () => {
  const { server, chat } = await open();
  const sending = chat.sendMessage({ text: "Hello" });
  await quiet();
  const answer = server.newest;
  const conversation = [...server.logs.keys()][0] as string;
  server.tell({ type: "thought", conversation, answer, offset: 0, text: "Hm." });
  await quiet();
  server.say("See there.");
  const sources = [
    { document: "d1", title: "One", url: "https://docs.example/1" },
    { document: "d2", title: "Two" },
  ];
  server.tell({ type: "citation", conversation, answer, start: 0, end: 3, sources });
  server.tell({ type: "citation", conversation, answer, start: 4, end: 9, sources });
  await quiet();
  server.end();
  await sending;
  assert.deepEqual(chat.messages[1]?.parts, [
    { type: "step-start" },
    { type: "reasoning", id: "1", text: "Hm.", state: "done", providerMetadata: undefined },
    { type: "text", text: "See there.", state: "done", providerMetadata: undefined },
    {
      type: "source-url",
      sourceId: "d1",
      url: "https://docs.example/1",
      title: "One",
      providerMetadata: undefined,
    },
    {
      type: "source-document",
      sourceId: "d2",
      mediaType: "text/plain",
      title: "Two",
      filename: undefined,
      providerMetadata: undefined,
    },
  ]);
});

/** An answer that has said a word and waits for what becomes of a call. */
async function parked(
  call: Partial<ToolCall>,
  init: ChatInit<UIMessage>,
  conversations = new Map(),
) {
  const all = await begun({ conversations }, init);
  const { server } = all;
  const answer = server.newest;
  const conversation = [...server.logs.keys()][0] as string;
  const tool = (more: Partial<ToolCall>) =>
    server.tell({
      type: "tool",
      conversation,
      answer,
      call: "k1",
      name: "send_mail",
      state: "awaiting_approval",
      ...more,
    });
  const status = (state: "parked" | "generating") =>
    server.tell({ type: "status", conversation, answer, attempt: 1, state });
  tool({ arguments: { to: "bob" }, args_hash: "h", ...call });
  status("parked");
  await all.sending;
  return { ...all, answer, tool, status };
}

const toolsOf = (message: UIMessage | undefined) =>
  message?.parts.filter((part) => part.type === "dynamic-tool");

test("a call that a person allows runs, and the answer goes on behind it", async () => {
  const { server, chat, answer, tool, status } = await parked(
    {},
    { sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses },
  );
  assert.equal(chat.status, "ready");
  const [part] = toolsOf(chat.messages[1]) ?? [];
  assert.deepEqual([part?.state, part?.input], ["approval-requested", { to: "bob" }]);
  await chat.addToolApprovalResponse({ id: "k1", approved: true });
  await quiet();
  const { id, ...frame } = server.of("approve")[0] as { id: string };
  assert.deepEqual(frame, { type: "approve", call: "k1", args_hash: "h", allow: true });
  assert.equal(chat.status, "submitted");
  tool({ state: "running" });
  status("generating");
  tool({ state: "done", result: "sent" });
  server.say("day.");
  server.end(answer);
  await quiet();
  assert.equal(chat.status, "ready");
  assert.deepEqual(texts(chat), ["Hello", "Good day."]);
  const [done] = toolsOf(chat.messages[1]) ?? [];
  assert.deepEqual([done?.state, done?.output], ["output-available", "sent"]);
  assert.equal(server.of("approve").length, 1);
  assert.equal(server.of("chat").length, 1);
});

test("a call that a person forbids is denied", async () => {
  const { server, chat, answer, tool, status } = await parked(
    {},
    { sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses },
  );
  await chat.addToolApprovalResponse({ id: "k1", approved: false });
  await quiet();
  assert.equal(server.of("approve")[0]?.allow, false);
  tool({ state: "denied" });
  status("generating");
  server.say("day.");
  server.end(answer);
  await quiet();
  assert.deepEqual(
    [chat.status, toolsOf(chat.messages[1])?.[0]?.state],
    ["ready", "output-denied"],
  );
  assert.deepEqual(texts(chat), ["Hello", "Good day."]);
});

test("what was decided elsewhere meanwhile is shown as it was decided", async () => {
  const { server, chat, answer, tool } = await parked(
    {},
    { sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses },
  );
  server.refusals = [{ type: "approve", code: "approval_conflict", retryable: false, times: 1 }];
  await chat.addToolApprovalResponse({ id: "k1", approved: true });
  await quiet();
  tool({ state: "denied" });
  server.end(answer);
  await quiet();
  assert.equal(toolsOf(chat.messages[1])?.[0]?.state, "output-denied");
  assert.equal(chat.status, "ready");
});

test("a call that waits is asked for again after a reload, and an answer that ends without it ends it", async () => {
  const conversations = new Map<string, string>();
  const before = await parked({}, {}, conversations);
  const { server, answer } = before;
  const { chat } = page(
    server,
    { conversations },
    {
      messages: before.chat.messages,
      sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
    },
  );
  await chat.resumeStream();
  assert.equal(chat.status, "ready");
  await chat.addToolApprovalResponse({ id: "k1", approved: true });
  await quiet();
  assert.equal(server.of("approve").length, 1);
  server.end(answer, "stopped");
  await quiet();
  assert.deepEqual([chat.status, toolsOf(chat.messages[1])?.[0]?.state], ["ready", "output-error"]);
});

test("a tool of the page is run by the page, and its result is passed on", async () => {
  const called: string[] = [];
  const { server, chat, answer, tool, status } = await parked(
    { name: "where", state: "requested" },
    {
      sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls,
      onToolCall: ({ toolCall: { toolName } }) => void called.push(toolName),
    },
  );
  assert.deepEqual(called, ["where"]);
  await chat.addToolOutput({ tool: "where", toolCallId: "k1", output: { city: "Ulm" } });
  await quiet();
  const { id, ...frame } = server.of("tool_result")[0] as { id: string };
  assert.deepEqual(frame, { type: "tool_result", call: "k1", content: '{"city":"Ulm"}' });
  tool({ name: "where", state: "done", result: '{"city":"Ulm"}' });
  status("generating");
  server.say("day.");
  server.end(answer);
  await quiet();
  assert.deepEqual([chat.status, ...texts(chat)], ["ready", "Hello", "Good day."]);
  assert.deepEqual(toolsOf(chat.messages[1])?.[0]?.output, { city: "Ulm" });
});

test("a server's tool is shown as it runs", async () => {
  const { server, chat, sending } = await begun();
  const answer = server.newest;
  const conversation = [...server.logs.keys()][0] as string;
  const call = { type: "tool", conversation, answer, call: "k1", name: "find" } as const;
  server.tell({ ...call, state: "requested", arguments: { q: "x" } });
  server.tell({ ...call, state: "running" });
  await quiet();
  assert.equal(toolsOf(chat.messages[1])?.[0]?.state, "input-available");
  server.tell({ ...call, state: "failed", result: "No index." });
  server.say("day.");
  server.end();
  await sending;
  const [part] = toolsOf(chat.messages[1]) ?? [];
  assert.deepEqual([part?.state, part?.errorText], ["output-error", "No index."]);
  assert.deepEqual(texts(chat), ["Hello", "Good day."]);
});

test("a transport that is closed ends its streams", async () => {
  const { server, transport, chat, sending } = await begun();
  transport.close();
  await sending;
  assert.deepEqual([chat.status, chat.error?.message], ["error", "closed"]);
  assert.equal(server.received.at(-1)?.type, "detach");
});
