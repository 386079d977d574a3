/** A conversation as a server keeps it, in the plainest way: what a client must show in the end. */

import { crc32 } from "node:zlib";

import type {
  AnswerState,
  AttachedFrame,
  ChunkFrame,
  LoggedFrame,
  Message,
  ServerFrame,
  ThoughtFrame,
  Unfinished,
} from "../src/frames.ts";
import type { Dice } from "./chance.ts";

export const NOON = "2026-11-20T12:00:00.000Z";
const WORDS = [
  "one ",
  "zwei",
  "três",
  "\n",
  " 四",
  "👩‍👩‍👧",
  "\u{1f600}",
  "e\u0301",
  '"',
  "x".repeat(9),
];

type Text = ChunkFrame | ThoughtFrame;
type Running = { -readonly [Name in keyof Unfinished]: Unfinished[Name] } & { text: string };

export class Room {
  readonly conversation: string;
  epoch = "e1";
  log: LoggedFrame[] = [];
  readonly rows = new Map<string, Message>();
  readonly running = new Map<string, Running>();
  leaf: string | null = null;
  readonly #prefix: string;

  constructor(conversation = "c", prefix = "m") {
    this.conversation = conversation;
    this.#prefix = prefix;
  }

  append<Frame extends object>(frame: Frame): Frame & { readonly seq: number } {
    const stored = { seq: this.log.length + 1, ...frame };
    this.log.push(stored as unknown as LoggedFrame);
    return stored;
  }

  row(role: "user" | "assistant", content: string, parent: string | null): string {
    const { conversation } = this;
    const id = `${this.#prefix}${this.rows.size + 1}`;
    const beside = [...this.rows.values()].filter((one) => one.parent === parent);
    const siblings = [...beside.map((one) => one.id), id];
    const message: Message = {
      id,
      conversation,
      role,
      content,
      parent,
      siblings,
      created_at: NOON,
    };
    for (const one of [...beside, message]) this.rows.set(one.id, { ...one, siblings });
    this.leaf = id;
    if (role === "assistant") {
      this.running.set(id, { answer: id, parent, state: "queued", attempt: 1, text: "" });
    }
    this.append({ type: "message", conversation, message });
    return id;
  }

  /** A question and its empty answer. */
  say(content: string, parent: string | null = null): string {
    return this.row("assistant", "", this.row("user", content, parent));
  }

  #of(answer: string): Running {
    return this.running.get(answer) as Running;
  }

  status(answer: string, state: AnswerState): LoggedFrame {
    const { conversation } = this;
    const { attempt } = Object.assign(this.#of(answer), { state });
    return this.append({ type: "status", conversation, answer, attempt, state });
  }

  chunk(answer: string, text: string): ChunkFrame & { readonly seq: number } {
    const running = this.#of(answer);
    const offset = running.text.length;
    running.text += text;
    return this.append({ type: "chunk", answer, offset, text });
  }

  reset(answer: string): LoggedFrame {
    const { conversation } = this;
    const running = Object.assign(this.#of(answer), { text: "" });
    const attempt = ++running.attempt;
    return this.append({ type: "reset", conversation, answer, attempt, reason: "fallback" });
  }

  complete(answer: string) {
    const { conversation } = this;
    const { text, attempt } = this.#of(answer);
    const ended = {
      attempt,
      outcome: "complete",
      finish_reason: "stop",
      model: "scripted",
      provider: "scripted",
      usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2, cost_usd: 0 },
      sources: [],
    } as const;
    this.running.delete(answer);
    const row = this.rows.get(answer) as Message;
    this.rows.set(answer, { ...row, ...ended, content: text, citations: [], tools: [] });
    const proof = { length: text.length, crc32: crc32(text) };
    const rest = { degraded: [], timings_ms: { queue: 0, total: 1 } } as const;
    return this.append({
      type: "complete",
      conversation,
      answer,
      ...ended,
      ...proof,
      ...rest,
    } as const);
  }

  /** Something that may happen next. */
  live(chance: Dice): void {
    const answer = chance.pick([...this.running.keys()]);
    if (answer === undefined) this.say(chance.pick(WORDS), chance.pick([null, this.leaf]));
    else if (chance() < 0.7) this.chunk(answer, chance.pick(WORDS));
    else if (chance() < 0.4) this.status(answer, chance.pick(["generating", "tool", "thinking"]));
    else if (chance() < 0.3) this.reset(answer);
    else if (chance() < 0.5) this.say(chance.pick(WORDS), this.leaf);
    else this.complete(answer);
  }

  /** All of it, of each text only so much at first. */
  snapshot(fits = Infinity): ServerFrame[] {
    const { conversation, epoch, leaf } = this;
    const messages = [...this.rows.values()].filter(({ id }) => !this.running.has(id));
    const rest: ServerFrame[] = [];
    const answers = [...this.running.values()].map((running) => {
      const { siblings } = this.rows.get(running.answer) as Message;
      const text = [...running.text].slice(0, fits).join("");
      for (let offset = text.length; offset < running.text.length; ) {
        const piece = [...running.text.slice(offset)].slice(0, fits).join("");
        rest.push({ type: "chunk", answer: running.answer, offset, text: piece });
        offset += piece.length;
      }
      return { ...running, text, length: running.text.length, created_at: NOON, siblings };
    });
    const seq = this.log.length;
    const shown = {
      conversation,
      epoch,
      seq,
      recovered: false,
      leaf,
      messages,
      more: false,
      answers,
    };
    return [{ type: "attached", ...shown }, ...rest];
  }

  recovered(seq: number): AttachedFrame {
    const { conversation, epoch, leaf } = this;
    const answers = [...this.running.values()].map(({ text, ...running }) => running);
    return { type: "attached", conversation, epoch, seq, recovered: true, leaf, answers };
  }

  since(seq: number, folded = false): LoggedFrame[] {
    const missed = this.log.slice(seq);
    return folded ? fold(missed) : missed;
  }
}

/** Each run of adjacent chunks whose `seq` and `offset` join as one. */
export function fold<Frame extends ServerFrame>(frames: readonly Frame[]): Frame[] {
  const folded: Frame[] = [];
  for (const frame of frames) {
    const before = folded.at(-1);
    if (before && isText(before) && isText(frame) && joins(before, frame)) {
      const from =
        before.seq === undefined ? {} : { from: before.from ?? before.seq, seq: frame.seq };
      folded[folded.length - 1] = { ...before, ...from, text: before.text + frame.text };
    } else {
      folded.push(frame);
    }
  }
  return folded;
}

function isText(frame: ServerFrame): frame is Text {
  return frame.type === "chunk" || frame.type === "thought";
}

function joins(before: Text, after: Text): boolean {
  const follows =
    before.seq === undefined
      ? after.seq === undefined
      : (after.from ?? after.seq) === before.seq + 1;
  return (
    before.type === after.type &&
    before.answer === after.answer &&
    before.offset + before.text.length === after.offset &&
    follows
  );
}
