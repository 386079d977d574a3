/**
 * A Parley server in memory: sockets, conversations with their logs, answers that say what the test
 * tells them to. Rows and frames are those of the golden vectors; what a test needs beyond them goes
 * here, so that every test's server behaves alike.
 */

import assert from "node:assert/strict";

import type {
  AnswerState,
  AttachedFrame,
  AttachFrame,
  ChatFrame,
  ClientFrame,
  EditFrame,
  ErrorCode,
  LoggedFrame,
  Message,
  RegenerateFrame,
  ServerFrame,
  ToolCall,
  WelcomeFrame,
} from "../src/frames.ts";
import type { WebSocketClass } from "../src/outside.ts";
import { crc32 } from "../src/text.ts";

type Asking = ChatFrame | EditFrame | RegenerateFrame;
type Frame<Kind> = Kind extends LoggedFrame ? Omit<Kind, "seq"> : never;

export const welcome: WelcomeFrame = {
  type: "welcome",
  session: "s",
  user: "ada",
  tenant: "t",
  server: { name: "parley", version: "1", instance: "i" },
  heartbeat_s: 25,
  limits: {
    client_frame_bytes: 65_536,
    server_frame_bytes: 262_144,
    content_bytes: 32_768,
    system_prompt_bytes: 8192,
    metadata_bytes: 2048,
    message_attachments: 5,
    tools: 64,
    attached_conversations: 50,
    history_messages: 100,
    queued_answers: 4,
    max_tokens: 4096,
    messages_per_minute: 60,
    typing_per_minute: 20,
    sockets: 8,
  },
  features: ["approvals", "client_tools"],
  expires_at: null,
};

interface Answer {
  readonly id: string;
  readonly parent: string;
  attempt: number;
  text: string;
  ended: boolean;
  state: AnswerState;
  tools: readonly ToolCall[];
}

class Log {
  epoch = "e1";
  leaf: string | null = null;
  frames: LoggedFrame[] = [];
  readonly rows = new Map<string, Message>();
  readonly answers = new Map<string, Answer>();
  /** What came before this is gone, and a position there is lost. */
  since = 0;

  get seq(): number {
    return this.since + this.frames.length;
  }
}

/** One connection, from the side of the server. */
export class FakeSocket {
  binaryType = "";
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  readonly follows = new Set<string>();
  readonly url: string;
  readonly protocols: readonly string[];
  readonly #server: FakeServer;

  constructor(server: FakeServer, url: string, protocols: string[]) {
    this.#server = server;
    this.url = url;
    this.protocols = protocols;
    queueMicrotask(() => (server.refuses ? this.drop(1006) : this.onopen?.()));
  }

  send(data: string): void {
    this.#server.take(this, JSON.parse(data) as ClientFrame);
  }

  close(code = 1005): void {
    this.#server.sockets.delete(this);
    this.#server.closes.push(code);
  }

  /** The server's end: what it tells leaves in order, each in a turn of its own. */
  tell(frame: ServerFrame): void {
    queueMicrotask(() => this.onmessage?.({ data: JSON.stringify(frame) }));
  }

  drop(code: number): void {
    this.#server.sockets.delete(this);
    queueMicrotask(() => this.onclose?.({ code }));
  }
}

export class FakeServer {
  readonly sockets = new Set<FakeSocket>();
  readonly received: ClientFrame[] = [];
  readonly closes: number[] = [];
  readonly logs = new Map<string, Log>();
  readonly socketClass: WebSocketClass;
  welcome = welcome;
  refuses = false;
  /** Every token has ended. */
  over = false;
  /** Takes what comes and answers nothing. */
  silent = false;
  /** Frames of these kinds are answered by this error, so many times. */
  refusals: { type: ClientFrame["type"]; code: ErrorCode; retryable: boolean; times: number }[] =
    [];
  readonly #known = new Map<string, { readonly log: string; readonly answer: string }>();
  #names = 0;

  constructor() {
    const server = this;
    this.socketClass = class extends FakeSocket {
      constructor(url: string, protocols: string[]) {
        super(server, url, protocols);
        server.sockets.add(this);
      }
    } as unknown as WebSocketClass;
  }

  kinds(): string[] {
    return this.received.map(({ type }) => type);
  }

  of<Type extends ClientFrame["type"]>(type: Type): Extract<ClientFrame, { type: Type }>[] {
    return this.received.filter((frame) => frame.type === type) as Extract<
      ClientFrame,
      { type: Type }
    >[];
  }

  /** All connections end. */
  cut(code = 1006): void {
    for (const socket of this.sockets) socket.drop(code);
  }

  tellAll(frame: ServerFrame): void {
    for (const socket of this.sockets) socket.tell(frame);
  }

  log(conversation: string): Log {
    const log = this.logs.get(conversation);
    assert.ok(log, `no conversation ${conversation}`);
    return log;
  }

  take(socket: FakeSocket, frame: ClientFrame): void {
    this.received.push(frame);
    const refusal = this.refusals.find(({ type, times }) => type === frame.type && times > 0);
    if (refusal) {
      refusal.times--;
      const ref = "id" in frame && frame.id ? { ref: frame.id } : {};
      const { code, retryable } = refusal;
      socket.tell({ type: "error", code, retryable, message: `${code} here`, trace: "x", ...ref });
      return;
    }
    if (!this.silent) this.#answer(socket, frame);
  }

  #answer(socket: FakeSocket, frame: ClientFrame): void {
    switch (frame.type) {
      case "hello":
        if (this.over) {
          socket.drop(4002);
          return;
        }
        socket.tell(this.welcome);
        for (const attach of frame.attach ?? []) this.#attach(socket, attach);
        return;
      case "attach":
        this.#attach(socket, frame);
        return;
      case "chat":
      case "edit":
      case "regenerate":
        this.#ask(socket, frame);
        return;
      case "stop":
        socket.tell({ type: "ok", ref: frame.answer });
        this.end(frame.answer, "stopped");
        return;
      case "history":
        socket.tell({
          type: "history",
          ref: frame.id,
          ...this.#page(frame.conversation, frame.before, frame.limit),
        });
        return;
      case "select":
        socket.tell({ type: "ok", ref: frame.id });
        this.select(frame.conversation, frame.leaf);
        return;
      case "approve":
      case "tool_result":
      case "feedback":
        socket.tell({ type: "ok", ref: frame.id });
        return;
      case "detach":
        socket.follows.delete(frame.conversation);
        socket.tell({ type: "ok", ref: frame.conversation });
        return;
      case "auth":
        socket.tell({ type: "ok", ref: "auth", expires_at: "2026-11-20T10:30:00.000Z" });
        return;
      case "ping":
        socket.tell({ type: "pong", ...(frame.id && { id: frame.id }) });
        return;
      case "typing":
    }
  }

  // What happens in conversations.

  /** The newest answer of all. */
  get newest(): string {
    const last = [...this.#known.values()].at(-1);
    assert.ok(last, "nothing was asked");
    return last.answer;
  }

  say(text: string, answer = this.newest): void {
    const { conversation, held } = this.#find(answer);
    this.#append(conversation, { type: "chunk", answer, offset: held.text.length, text });
    held.text += text;
  }

  reset(answer = this.newest): void {
    const { conversation, held } = this.#find(answer);
    held.attempt++;
    held.text = "";
    this.#append(conversation, {
      type: "reset",
      conversation,
      answer,
      attempt: held.attempt,
      reason: "fallback",
    });
  }

  tell(frame: Frame<LoggedFrame>, answer = this.newest): void {
    const { conversation, held } = this.#find(answer);
    if (frame.type === "status") held.state = frame.state;
    if (frame.type === "tool") {
      const { type: _, conversation: __, answer: ___, ...call } = frame;
      const known = held.tools.find((tool) => tool.call === call.call);
      const others = held.tools.filter((tool) => tool !== known);
      held.tools = [...others, { ...known, ...call }];
    }
    this.#append(conversation, frame);
  }

  end(answer = this.newest, outcome: "complete" | "stopped" | "failed" = "complete"): void {
    const { conversation, log, held } = this.#find(answer);
    if (held.ended) return;
    held.ended = true;
    const { attempt, text } = held;
    const row = log.rows.get(answer) as Message;
    const finish_reason = { complete: "stop", stopped: "stopped", failed: "error" }[
      outcome
    ] as "stop";
    const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2, cost_usd: 0 };
    log.rows.set(answer, { ...row, content: text, outcome, attempt, finish_reason, usage });
    this.#append(conversation, {
      type: "complete",
      conversation,
      answer,
      attempt,
      outcome,
      finish_reason,
      length: text.length,
      crc32: crc32(text),
      usage,
      model: "m",
      provider: "p",
      sources: [],
      degraded: [],
      timings_ms: { queue: 0, total: 1 },
      ...(outcome === "failed" && {
        error: { code: "provider_error", message: "It broke.", retryable: true } as const,
      }),
    });
  }

  select(conversation: string, leaf: string): void {
    const log = this.log(conversation);
    log.leaf = leaf;
    const at = "2026-11-20T09:30:00.000Z";
    this.#append(conversation, {
      type: "conversation",
      conversation: {
        id: conversation,
        title: null,
        status: "active",
        leaf,
        message_count: log.rows.size,
        created_at: at,
        updated_at: at,
      },
    } as Frame<LoggedFrame>);
  }

  /** The log is lost: everybody who comes back gets a snapshot. */
  lose(conversation: string): void {
    const log = this.log(conversation);
    log.epoch += "'";
    log.since = 0;
    log.frames = [];
  }

  #ask(socket: FakeSocket, frame: Asking): void {
    const known = this.#known.get(frame.id);
    if (known) {
      this.#ack(socket, frame.id, known.log, known.answer, true);
      return;
    }
    const { conversation, parent } = this.#placeOf(frame);
    const log = this.log(conversation);
    const before = log.seq;
    const question = frame.type === "regenerate" ? parent : this.#name("m");
    const answer = this.#name("a");
    this.#known.set(frame.id, { log: conversation, answer });
    this.#ack(socket, frame.id, conversation, answer, false, question ?? "", before);
    if (frame.type !== "regenerate")
      this.#row(conversation, question ?? "", parent, "user", frame.content);
    log.answers.set(answer, {
      id: answer,
      parent: question ?? "",
      attempt: 1,
      text: "",
      ended: false,
      state: "generating",
      tools: [],
    });
    this.#row(conversation, answer, question, "assistant", "");
    this.#append(conversation, {
      type: "status",
      conversation,
      answer,
      attempt: 1,
      state: "generating",
    });
  }

  #placeOf(frame: Asking): { conversation: string; parent: string | null } {
    if (frame.type === "chat") {
      const conversation = frame.conversation ?? this.#name("c");
      if (!this.logs.has(conversation)) this.logs.set(conversation, new Log());
      return { conversation, parent: frame.parent ?? this.log(conversation).leaf };
    }
    const replaced = frame.type === "edit" ? frame.message : frame.answer;
    for (const [conversation, { rows }] of this.logs) {
      const row = rows.get(replaced);
      if (row) return { conversation, parent: row.parent };
    }
    throw new Error(`no message ${replaced}`);
  }

  #ack(
    socket: FakeSocket,
    ref: string,
    conversation: string,
    answer: string,
    duplicate: boolean,
    message?: string,
    seq?: number,
  ): void {
    const log = this.log(conversation);
    const parent = message ?? log.answers.get(answer)?.parent ?? "";
    const at = seq ?? log.seq;
    socket.tell({
      type: "ack",
      ref,
      conversation,
      message: parent,
      answer,
      duplicate,
      queued: 0,
      epoch: log.epoch,
      seq: duplicate ? log.since : at,
    });
    if (socket.follows.has(conversation)) return;
    socket.follows.add(conversation);
    if (duplicate) for (const frame of log.frames) socket.tell(frame);
  }

  #row(
    conversation: string,
    id: string,
    parent: string | null,
    role: "user" | "assistant",
    content: string,
  ): void {
    const log = this.log(conversation);
    const siblings = [
      ...[...log.rows.values()].filter((row) => row.parent === parent).map((row) => row.id),
      id,
    ];
    const message: Message = {
      id,
      conversation,
      role,
      content,
      parent,
      siblings,
      created_at: "2026-11-20T09:30:00.000Z",
    };
    log.rows.set(id, message);
    for (const sibling of siblings)
      log.rows.set(sibling, { ...(log.rows.get(sibling) as Message), siblings });
    log.leaf = id;
    this.#append(conversation, { type: "message", conversation, message });
  }

  #append(conversation: string, frame: Frame<LoggedFrame>): void {
    const log = this.log(conversation);
    const stamped = { ...frame, seq: log.seq + 1 } as LoggedFrame;
    log.frames.push(stamped);
    for (const socket of this.sockets) if (socket.follows.has(conversation)) socket.tell(stamped);
  }

  #attach(
    socket: FakeSocket,
    { conversation, epoch, seq, history = 50 }: Omit<AttachFrame, "type">,
  ): void {
    const log = this.logs.get(conversation);
    if (!log) {
      socket.tell({
        type: "error",
        code: "not_found",
        message: "None.",
        retryable: false,
        ref: conversation,
        trace: "x",
      });
      return;
    }
    socket.follows.add(conversation);
    const recovered =
      epoch === log.epoch && seq !== undefined && seq >= log.since && seq <= log.seq;
    const running = [...log.answers.values()].filter(({ ended }) => !ended);
    const base = {
      type: "attached",
      conversation,
      epoch: log.epoch,
      leaf: log.leaf,
      recovered,
    } as const;
    const answers = running.map(({ id, parent, attempt, text, state, tools }) => ({
      answer: id,
      parent,
      attempt,
      state,
      ...(!recovered && { text, tools }),
    }));
    if (recovered) {
      socket.tell({ ...base, seq, answers } as AttachedFrame);
      for (const frame of log.frames.slice(seq - log.since)) socket.tell(frame);
      return;
    }
    const page = this.#page(conversation, undefined, history);
    const ended = page.messages.filter(({ id }) => !running.some((answer) => answer.id === id));
    socket.tell({ ...base, seq: log.seq, answers, messages: ended, more: page.more });
  }

  #page(conversation: string, before?: string, limit = 50): { messages: Message[]; more: boolean } {
    const { rows, leaf } = this.log(conversation);
    const messages: Message[] = [];
    let row = rows.get((before ? rows.get(before)?.parent : leaf) ?? "");
    for (; row && messages.length < limit; row = rows.get(row.parent ?? "")) messages.unshift(row);
    return { messages, more: row !== undefined };
  }

  #find(answer: string): { conversation: string; log: Log; held: Answer } {
    for (const [conversation, log] of this.logs) {
      const held = log.answers.get(answer);
      if (held) return { conversation, log, held };
    }
    throw new Error(`no answer ${answer}`);
  }

  #name(kind: string): string {
    return `${kind}${++this.#names}`;
  }
}
