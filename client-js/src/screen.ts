/** A conversation as a screen shows it: the server's rows, what grows in them, what is yet unsent. */

import type { Answer } from "./answer.ts";
import type { ParleyError } from "./errors.ts";
import type {
  AckFrame,
  AnswerState,
  CompleteFrame,
  Degradation,
  Failure,
  Message,
} from "./frames.ts";
import type { Asking } from "./keeping.ts";
import type { Growing, Replica } from "./replica.ts";

/** A message of the server's, and what is known beyond it. One that did not change stays the same object. */
export interface ChatMessage extends Message {
  /** Of a message that the server has not accepted; its `id` is the client's own. */
  readonly delivery?: Delivery;
  readonly error?: ParleyError;
  /** Of an edit that the server has not accepted: the message in whose place it is to stand. */
  readonly replaces?: string;
  /** Of an answer that has not ended; `content` is its text so far. */
  readonly state?: AnswerState;
  readonly thought?: string;
  /** Why an answer failed, and what it had to do without. */
  readonly failure?: Failure;
  readonly degraded?: readonly Degradation[];
}

export type Delivery = "unsent" | "sent" | "failed";

/** What was asked and has no place among the server's rows yet. */
export interface Asked {
  frame: Asking;
  readonly at: string;
  /** Who asked, where that is known. */
  by: string | undefined;
  answer: Answer;
  delivery: Delivery;
  /** The client was told of it, so only its frame's own bytes may be sent again under its id. */
  known?: boolean;
  /** An answer to it is to come. */
  under?: boolean;
  error?: ParleyError | undefined;
  ack?: AckFrame;
  /** To be stopped as soon as its answer has a name. */
  stopping?: boolean | undefined;
  shown?: ChatMessage | undefined;
}

type Ended = Pick<CompleteFrame, "answer"> & Partial<CompleteFrame>;

export class Screen {
  readonly #growing = new Map<string, ChatMessage>();
  readonly #last = new Map<string, Growing>(); // outlives the replica's, which ends with the answer
  readonly #beyond = new Map<string, Partial<ChatMessage>>();
  readonly #settled = new WeakMap<Message, ChatMessage>();
  /** The branch as it was last shown, and where in it answers grow. */
  #branch: readonly ChatMessage[] = [];
  #growingAt: readonly number[] = [];
  #shape: number | undefined;
  #leaf: string | null | undefined;

  /** The answer's text or state is another now. */
  touched(growing: Growing): void {
    this.#growing.delete(growing.id);
    this.#last.set(growing.id, growing);
  }

  /** Keeps what `complete` tells, or was told before, and the row does not say. */
  ended({ answer, error, degraded }: Ended): void {
    const thought = this.#last.get(answer)?.thought;
    this.#last.delete(answer);
    const beyond = {
      ...(thought && { thought }),
      ...(error && { failure: error }),
      ...(degraded?.length && { degraded }),
    };
    if (Object.keys(beyond).length) this.#beyond.set(answer, beyond);
    this.#growing.delete(answer);
    this.#shape = undefined;
  }

  /** All must be looked at anew. */
  replaced(replica: Replica): void {
    this.#growing.clear();
    this.#shape = undefined;
    for (const answer of this.#last.keys())
      if (!replica.answers.has(answer)) this.ended({ answer });
    for (const growing of replica.answers.values()) this.#last.set(growing.id, growing);
  }

  show(
    replica: Replica | undefined,
    asked: readonly Asked[],
    id: string | undefined,
  ): ChatMessage[] {
    const unseen = asked.filter(({ ack }) => !ack || !replica?.messages.has(ack.message));
    const rows: ChatMessage[] = replica ? this.#rows(replica, leafOf(replica, asked)) : [];
    for (const one of unseen) {
      if (one.frame.type !== "regenerate") rows.push((one.shown ??= unsent(one, rows.at(-1), id)));
    }
    return rows;
  }

  /** One row, on whatever branch. */
  row(replica: Replica | undefined, id: string): ChatMessage | undefined {
    const row = replica?.messages.get(id);
    return row && this.#shown(replica as Replica, row);
  }

  /** Of thousands of rows only those that grow are looked at again while nothing else is another. */
  #rows(replica: Replica, leaf: string | null): ChatMessage[] {
    if (replica.shape !== this.#shape || leaf !== this.#leaf) {
      const branch = leaf === null ? [] : replica.branch(leaf);
      this.#branch = branch.map((row) => this.#shown(replica, row));
      this.#growingAt = [...branch.keys()].filter((at) =>
        replica.answers.has((branch[at] as Message).id),
      );
      this.#shape = replica.shape;
      this.#leaf = leaf;
    }
    const rows = [...this.#branch];
    for (const at of this.#growingAt) {
      const row = replica.messages.get((rows[at] as ChatMessage).id);
      rows[at] = this.#shown(replica, row as Message);
    }
    return rows;
  }

  #shown(replica: Replica, row: Message): ChatMessage {
    if (row.role !== "assistant") return row;
    const growing = replica.answers.get(row.id);
    if (growing) {
      let shown = this.#growing.get(row.id);
      if (!shown) {
        const { state, attempt, text: content, thought, citations, tools } = growing;
        shown = { ...row, content, state, attempt, citations, tools, ...(thought && { thought }) };
        this.#growing.set(row.id, shown);
      }
      return shown;
    }
    const beyond = this.#beyond.get(row.id);
    if (!beyond) return row;
    let shown = this.#settled.get(row);
    if (!shown) this.#settled.set(row, (shown = { ...row, ...beyond }));
    return shown;
  }
}

/** Where the branch ends that is shown: above what is being asked anew. */
function leafOf(replica: Replica, asked: readonly Asked[]): string | null {
  for (const { frame, ack, delivery } of asked) {
    if (frame.type === "chat" || delivery === "failed" || (ack && replica.messages.has(ack.answer)))
      continue;
    const replaced = replica.messages.get(frame.type === "edit" ? frame.message : frame.answer);
    if (replaced) return replaced.parent;
  }
  return replica.leaf;
}

function unsent(
  { frame, at, delivery, error }: Asked,
  above: ChatMessage | undefined,
  conversation = "",
): ChatMessage {
  return {
    id: frame.id,
    conversation,
    role: "user",
    content: "content" in frame ? frame.content : "",
    ...(frame.type === "edit" && { replaces: frame.message }),
    parent: above?.id ?? null,
    siblings: [frame.id],
    created_at: at,
    delivery,
    ...(error && { error }),
  };
}
