/** One long conversation on a server of its own: a history of any length at once, and an answer that grows when it is told to. */

import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { WebSocketServer } from "ws";

import type {
  AttachedFrame,
  ChunkFrame,
  ClientFrame,
  ErrorFrame,
  HistoryFrame,
  LoggedFrame,
  Message,
  ReadHistoryFrame,
  ServerFrame,
} from "../../src/frames.ts";
import { crc32 } from "../../src/text.ts";
import { welcome } from "../fakeServer.ts";
import type { After } from "./ends.ts";

const CONVERSATION = "c";
const EPOCH = "e";

type Unplaced<Frame> = Frame extends LoggedFrame ? Omit<Frame, "seq"> : never;

/** So many messages, oldest first, whose answers are what answers are: paragraphs, lists, code, of any height. */
export function history(count: number): Message[] {
  return Array.from({ length: count }, (_, n) => {
    const question = n % 2 === 0;
    const words = "Some more words that fill a line or two of it. ".repeat(1 + (n % 7));
    const list = n % 3 ? "- one thing\n- and *another*\n\n" : "";
    const code = n % 5 ? "" : `\`\`\`js\nconst x = ${n};\nshow(x);\n\`\`\`\n\n`;
    const answer = `Answer **${n}** with \`code\`.\n\n${list}${code}${words}`;
    return row(n, question ? `Question ${n} about it?` : answer);
  });
}

function row(n: number, content: string): Message {
  const answer = n % 2 === 1;
  return {
    id: `m${n}`,
    conversation: CONVERSATION,
    role: answer ? "assistant" : "user",
    content,
    parent: n ? `m${n - 1}` : null,
    siblings: [`m${n}`],
    created_at: "2026-11-22T10:00:00.000Z",
    ...(answer && { outcome: "complete", finish_reason: "stop" }),
  };
}

type Serve = (request: IncomingMessage, response: ServerResponse) => void;

const nothing: Serve = (_, response) => void response.writeHead(404).end();

function refusal(ref: string): ErrorFrame {
  return { type: "error", ref, code: "not_found", message: "No.", retryable: false, trace: "t" };
}

export class Talk {
  readonly rows: Message[];
  /** Requests for older messages are refused, and how many there were. */
  refuses = false;
  asked = 0;
  readonly #server: Server;
  readonly #sockets: WebSocketServer;
  /** How many of the newest an attachment shows; `history` has the rest. */
  readonly #shown: number;
  #seq = 0;
  #text = "";
  #held: (() => void)[] | undefined;

  private constructor(rows: readonly Message[], shown: number, page: Serve) {
    this.rows = [...rows];
    this.#shown = shown;
    this.#server = createServer(page);
    this.#sockets = new WebSocketServer({
      server: this.#server,
      handleProtocols: () => "parley.v1.json",
    });
    this.#sockets.on("connection", (socket) => {
      const send = (frame: ServerFrame): void => socket.send(JSON.stringify(frame));
      socket.on("message", (data) => this.#heard(JSON.parse(`${data}`) as ClientFrame, send));
    });
  }

  /** Serves until whatever `after` belongs to ends; requests that are no sockets are the page's. */
  static async started(
    after: After,
    rows: readonly Message[],
    { shown = rows.length, page = nothing }: { shown?: number; page?: Serve } = {},
  ): Promise<Talk> {
    const talk = new Talk(rows, shown, page);
    talk.#server.listen(0, "127.0.0.1");
    await once(talk.#server, "listening");
    after(async () => {
      for (const socket of talk.#sockets.clients) socket.terminate();
      talk.#server.close();
      talk.#server.closeAllConnections();
    });
    return talk;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** From now on nobody is shown the conversation, until `release`. */
  hold(): void {
    this.#held = [];
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const show of held) show();
  }

  /** A question of ours from elsewhere, and an answer that has yet to say something. */
  begin(question = "And then?"): void {
    this.#text = "";
    const n = this.rows.length;
    this.rows.push(row(n, question));
    this.#log({ type: "message", conversation: CONVERSATION, message: row(n, question) });
    const { outcome, finish_reason, ...answer } = row(n + 1, "");
    this.rows.push(answer);
    this.#log({ type: "message", conversation: CONVERSATION, message: answer });
    const about = { conversation: CONVERSATION, answer: answer.id, attempt: 1 };
    this.#log({ type: "status", ...about, state: "generating" });
  }

  /** How much the answer says already. */
  get length(): number {
    return this.#text.length;
  }

  say(text: string): void {
    const { id } = this.rows.at(-1) as Message;
    const offset = this.#text.length;
    this.#text += text;
    this.#log({ type: "chunk", answer: id, offset, text } satisfies Unplaced<ChunkFrame>);
  }

  end(): void {
    const row = this.rows.pop() as Message;
    this.rows.push({ ...row, content: this.#text, outcome: "complete", finish_reason: "stop" });
    this.#log({
      type: "complete",
      conversation: CONVERSATION,
      answer: row.id,
      attempt: 1,
      outcome: "complete",
      finish_reason: "stop",
      length: this.#text.length,
      crc32: crc32(this.#text),
      usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2, cost_usd: 0 },
      model: "m",
      provider: "p",
      sources: [],
      degraded: [],
      timings_ms: { queue: 0, total: 1 },
    });
  }

  #heard(frame: ClientFrame, send: (frame: ServerFrame) => void): void {
    switch (frame.type) {
      case "hello":
        send(welcome);
        if (frame.attach?.length) this.#show(send);
        break;
      case "attach":
        this.#show(send);
        break;
      case "history":
        this.asked++;
        send(this.refuses ? refusal(frame.id) : this.#before(frame));
        break;
      case "ping":
        send({ type: "pong", ...(frame.id !== undefined && { id: frame.id }) });
        break;
      default:
        if ("id" in frame) send({ type: "ok", ref: frame.id });
    }
  }

  #show(send: (frame: ServerFrame) => void): void {
    const show = (): void => send(this.#attached());
    if (this.#held) this.#held.push(show);
    else show();
  }

  #attached(): AttachedFrame {
    return {
      type: "attached",
      conversation: CONVERSATION,
      epoch: EPOCH,
      seq: this.#seq,
      recovered: false,
      leaf: this.rows.at(-1)?.id ?? null,
      answers: [],
      messages: this.rows.slice(-this.#shown),
      more: this.#shown < this.rows.length,
    };
  }

  #before({ id, before, limit = 50 }: ReadHistoryFrame): HistoryFrame {
    const end = this.rows.findIndex((row) => row.id === before);
    const start = Math.max(0, end - limit);
    return { type: "history", ref: id, messages: this.rows.slice(start, end), more: start > 0 };
  }

  #log(frame: Unplaced<LoggedFrame>): void {
    const sent = JSON.stringify({ ...frame, seq: ++this.#seq });
    for (const socket of this.#sockets.clients) socket.send(sent);
  }
}
