/**
 * One conversation as a client holds it, brought level by `attached` and by the frames of its log.
 *
 * Whoever feeds it every frame of the conversation, in the order of their arrival, gets back what
 * each one did. The rules:
 *
 * - `seq` has no holes. What is known already is dropped; what skips ahead shows a hole.
 * - A replica that saw a hole or a mismatch is not level: it takes nothing but `attached`, so that
 *   one fault asks for one re-attachment, and what was under way meanwhile does no harm.
 * - Text is appended at its offset and nowhere else; `complete` proves the whole of it.
 * - Rows merge by id. A known row stays, for whatever changes it comes as a frame of its own.
 * - Frames of an answer that is not unfinished here are late ones: they count, and change nothing.
 */

import type {
  AnswerState,
  AttachedFrame,
  Attachment,
  ChunkFrame,
  CitationFrame,
  Cited,
  CompleteFrame,
  Conversation,
  LoggedFrame,
  Message,
  ResetFrame,
  ServerFrame,
  StatusFrame,
  ThoughtFrame,
  ToolCall,
  ToolFrame,
  Unfinished,
} from "./frames.ts";
import { crc32 } from "./text.ts";

/**
 * What a frame did: "repeated" was known already, "ignored" is late or meant for a replica that is
 * level, "hole" is missing frames before it, and "mismatch" shows that what is held here is wrong.
 */
export type Effect = "applied" | "repeated" | "ignored" | "hole" | "mismatch";

/** A place in a conversation's log. */
export interface Position {
  readonly epoch: string;
  readonly seq: number;
}

/** An answer that has not ended. */
export interface Growing {
  readonly id: string;
  attempt: number;
  state: AnswerState;
  text: string;
  thought: string;
  tools: readonly ToolCall[];
  citations: readonly Cited[];
}

interface Held extends Growing {
  /** How long a snapshot said that the text is. */
  promised: number;
  /** Offset of the first piece of reasoning that is held. */
  thoughtAt: number;
}

type OfAnswer =
  | StatusFrame
  | ChunkFrame
  | ThoughtFrame
  | CitationFrame
  | ToolFrame
  | ResetFrame
  | CompleteFrame;

/**
 * `messages` has every known row; the row of an answer in `answers` is still empty. Where a
 * snapshot left them out, `created_at` is empty and `siblings` names the row alone.
 */
export class Replica {
  readonly conversation: string;
  /** Undefined while there is nothing to go on from. */
  position: Position | undefined;
  level: boolean;
  leaf: string | null = null;
  about: Conversation | undefined;
  /** Whether the server has older rows than these. */
  more = false;
  /** Rises with every change but the growing of an unfinished answer. */
  shape = 0;
  /** Holes and mismatches since a frame was last taken. */
  breaks = 0;
  readonly #history: number | undefined;
  readonly #rows = new Map<string, Message>();
  readonly #growing = new Map<string, Held>();
  readonly messages: ReadonlyMap<string, Message> = this.#rows;
  readonly answers: ReadonlyMap<string, Growing> = this.#growing;

  /** From a snapshot of `history` messages, or from the start of what is known. */
  constructor(conversation: string, history?: number, position?: Position) {
    this.conversation = conversation;
    this.position = position;
    this.level = !!position;
    this.#history = history;
  }

  /** What brings it level; without a position, as of text that came only in part, by a snapshot. */
  wanted(): Attachment {
    return {
      conversation: this.conversation,
      ...(this.#whole() && this.position),
      ...(this.#history !== undefined && { history: this.#history }),
    };
  }

  /** The known rows of the branch that ends in `leaf` (default: the active one), oldest first. */
  branch(leaf?: string | null): Message[] {
    const rows: Message[] = [];
    let row = this.#row(leaf ?? this.leaf);
    while (row && rows.length < this.#rows.size) {
      // a ring of parents would never end
      rows.push(row);
      row = this.#row(row.parent);
    }
    return rows.reverse();
  }

  /** Add what a page of history shows. */
  merge(rows: readonly Message[]): void {
    for (const row of rows) this.#add(row);
  }

  /** The connection ended: only another `attached` makes this level again. */
  lost(): void {
    this.level = false;
  }

  /** Take one frame of this conversation, also of a type that is not known here. */
  apply(frame: ServerFrame): Effect {
    if (frame.type === "attached") return this.#attached(frame);
    const { position } = this;
    if (!this.level || !position) return "ignored";
    const logged = frame as LoggedFrame;
    const { seq } = logged;
    const text = logged.type === "chunk" || logged.type === "thought";
    if (!seq) return text ? this.#judged(this.#ofAnswer(logged)) : "ignored";
    if (seq <= position.seq) return "repeated";
    // Text that begins before our end and goes beyond it also counts as a hole: what is held is
    // sound, and attaching from here gives exactly the rest.
    if (((text && logged.from) || seq) !== position.seq + 1) return this.#judged("hole");
    // The log goes on only behind the whole snapshot.
    const effect = this.#judged(this.#whole() ? this.#take(logged) : "mismatch");
    if (this.level) {
      this.position = { ...position, seq };
      this.breaks = 0;
    }
    return effect;
  }

  #attached(frame: AttachedFrame): Effect {
    if (!frame.recovered) {
      this.#replace(frame);
    } else if (frame.epoch !== this.position?.epoch) {
      return this.#judged("mismatch");
    } else if (frame.seq > this.position.seq) {
      return this.#judged("hole");
    }
    this.level = true;
    return "applied";
  }

  #replace(frame: AttachedFrame): void {
    this.position = { epoch: frame.epoch, seq: frame.seq };
    this.leaf = frame.leaf;
    this.more = !!frame.more;
    this.shape++;
    const before = new Map(this.#rows);
    this.#rows.clear();
    this.#growing.clear();
    for (const row of frame.messages ?? []) {
      const known = before.get(row.id);
      this.#set(known && saysAll(known, row) ? known : row); // who shows it need not look again
    }
    for (const shown of frame.answers) {
      const id = shown.answer;
      this.#growing.set(id, held(shown));
      this.#set({
        id,
        conversation: this.conversation,
        role: "assistant",
        content: "",
        parent: shown.parent,
        siblings: shown.siblings ?? [id],
        created_at: shown.created_at ?? "",
        ...(shown.feedback && { feedback: shown.feedback }),
      });
    }
  }

  /** A fault asks to be brought level again; a second one without progress gives the position up. */
  #judged(effect: Effect): Effect {
    if (effect === "hole" || effect === "mismatch") {
      this.level = false;
      if (++this.breaks > 1 || effect === "mismatch") this.position = undefined;
    }
    return effect;
  }

  #take(frame: LoggedFrame): Effect {
    switch (frame.type) {
      case "message": {
        const row = frame.message;
        const { id } = row;
        this.#add(row);
        this.leaf = id; // until `conversation` says otherwise
        this.shape++;
        if (row.role === "assistant" && !this.#row(id)?.outcome && !this.#growing.has(id)) {
          this.#growing.set(id, held({ answer: id, parent: null, state: "queued", attempt: 1 }));
        }
        break;
      }
      case "feedback": {
        const row = this.#row(frame.message);
        if (!row) return "ignored";
        const { message, ...feedback } = body(frame);
        this.#set({ ...row, feedback });
        break;
      }
      case "conversation":
        this.about = frame.conversation;
        this.leaf = frame.conversation.leaf;
        this.shape++;
        break;
      default:
        if ("answer" in frame) return this.#ofAnswer(frame);
    }
    return "applied";
  }

  #ofAnswer(frame: OfAnswer): Effect {
    const answer = this.#growing.get(frame.answer);
    if (!answer) return "ignored";
    // Text outside the log completes a snapshot's, before anything else comes.
    if ((!frame.seq && isWhole(answer)) || !take(answer, frame)) return "mismatch";
    if (frame.type === "complete") {
      const { id, text, citations, tools } = answer;
      const { length, crc32, degraded, timings_ms, error, ...ended } = body(frame);
      this.#growing.delete(id);
      this.#set({ ...(this.#row(id) as Message), ...ended, content: text, citations, tools });
    }
    return "applied";
  }

  #whole(): boolean {
    return [...this.#growing.values()].every(isWhole);
  }

  #row(id: string | null): Message | undefined {
    return this.#rows.get(id ?? "");
  }

  #set(row: Message): void {
    this.#rows.set(row.id, row);
    this.shape++;
  }

  #add(row: Message): void {
    const { siblings, created_at, metadata } = row;
    const known = this.#row(row.id);
    if (!known) this.#set(row);
    else if (!known.created_at) {
      this.#set({ ...known, created_at, ...(metadata && { metadata }) });
    }
    for (const sibling of siblings) {
      const other = this.#row(sibling);
      // The list only grows, so of two the longer is the later one.
      if (other && other.siblings.length < siblings.length) this.#set({ ...other, siblings });
    }
  }
}

/** Whether `row` tells nothing that `known` does not. */
function saysAll(known: Message, row: Message): boolean {
  return Object.entries(row).every(
    ([name, value]) => JSON.stringify(value) === JSON.stringify(known[name as keyof Message]),
  );
}

/** As a snapshot shows it. */
function held(shown: Unfinished): Held {
  const text = shown.text ?? "";
  return {
    id: shown.answer,
    attempt: shown.attempt,
    state: shown.state,
    text,
    thought: shown.thought ?? "",
    tools: shown.tools ?? [],
    citations: shown.citations ?? [],
    promised: shown.length ?? text.length,
    thoughtAt: 0,
  };
}

/** Whether all the text is here that a snapshot promised. */
function isWhole(answer: Held): boolean {
  return answer.text.length >= answer.promised;
}

/** Apply one of the answer's frames; false if it does not go on where the answer stands. */
function take(answer: Held, frame: OfAnswer): boolean {
  switch (frame.type) {
    case "chunk":
      if (frame.offset !== answer.text.length) return false;
      answer.text += frame.text;
      break;
    case "thought":
      // A snapshot may leave the reasoning out, so its first piece may stand anywhere.
      if (!answer.thought) answer.thoughtAt = frame.offset;
      if (frame.offset !== answer.thoughtAt + answer.thought.length) return false;
      answer.thought += frame.text;
      break;
    case "status":
      if (frame.attempt !== answer.attempt) return false;
      answer.state = frame.state;
      break;
    case "citation":
      answer.citations = [...answer.citations, body(frame)];
      break;
    case "tool":
      answer.tools = withCall(answer.tools, frame);
      break;
    case "reset":
      // What was said is taken back; the calls of tools stay, for they did happen.
      if (frame.attempt <= answer.attempt) return false;
      answer.attempt = frame.attempt;
      answer.text = answer.thought = "";
      answer.promised = 0;
      answer.citations = [];
      break;
    case "complete":
      return (
        frame.attempt === answer.attempt &&
        frame.length === answer.text.length &&
        frame.crc32 === crc32(answer.text)
      );
  }
  return true;
}

/** The calls as they stand now: what a later frame leaves out stays as it was told. */
function withCall(calls: readonly ToolCall[], frame: ToolFrame): readonly ToolCall[] {
  const now = body(frame);
  const known = calls.find(({ call }) => call === now.call);
  return known ? calls.map((one) => (one === known ? { ...one, ...now } : one)) : [...calls, now];
}

type Head = "type" | "seq" | "conversation" | "answer";

/** What a frame of the log says; null means absent. */
function body<Frame extends LoggedFrame>(frame: Frame): Omit<Frame, Head> {
  const { type, seq, conversation, answer, ...fields } = frame as Frame & {
    answer?: string;
    conversation?: string;
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value != null)) as Omit<
    Frame,
    Head
  >;
}
