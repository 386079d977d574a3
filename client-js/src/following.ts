/** The conversations that a client follows, and which of them a frame belongs to. */

import type { AttachFrame, ClientFrame, HelloFrame, ServerFrame } from "./frames.ts";
import type { Effect, Replica } from "./replica.ts";

/** Until `welcome` no frame may have more. */
export const GREETING_BYTES = 4096;
/** Conversations on one socket, until the server has said how many it allows. */
export const MOST_FOLLOWED = 50;

/** Where frames name conversations and answers; `message` is an id in one of them. */
interface Naming {
  readonly conversation?: string | { readonly id: string } | null;
  readonly answer?: string;
  readonly message?: { readonly id?: string };
  readonly answers?: readonly { readonly answer: string }[];
  readonly messages?: readonly { readonly id: string }[];
}

export class Following {
  readonly replicas = new Map<string, Replica>();
  /** Each answer's conversation, which chunks do not name. */
  readonly #homes = new Map<string, string>();

  /** Forget the conversation; false if it was not followed. */
  end(conversation: string): boolean {
    for (const [answer, home] of this.#homes) {
      if (home === conversation) this.#homes.delete(answer);
    }
    return this.replicas.delete(conversation);
  }

  /** Apply a frame; what belongs nowhere is ignored, and may leave a hole. */
  take(frame: ServerFrame): { replica?: Replica; effect: Effect } {
    const { conversation, answer, message, answers, messages } = frame as Naming;
    const name = typeof conversation === "object" ? conversation?.id : conversation;
    const replica = this.replicas.get(name ?? this.#homes.get(answer ?? "") ?? "");
    if (!replica) return { effect: "ignored" };
    const shown = answers?.map((one) => one.answer) ?? [];
    const rows = messages?.map((row) => row.id) ?? [];
    for (const id of [answer, message?.id, ...shown, ...rows]) {
      if (id) this.#homes.set(id, replica.conversation);
    }
    return { replica, effect: replica.apply(frame) };
  }
}

/** `hello` with as many of the attachments, from the first on, as its small cap leaves room. */
export function greeting(
  hello: HelloFrame,
  attaches: readonly AttachFrame[],
  bytes: (frame: ClientFrame) => number,
): HelloFrame {
  let size = bytes(hello) + ',"attach":[]'.length;
  const attach = [];
  for (const one of attaches.slice(0, MOST_FOLLOWED)) {
    size += bytes(one); // which has a `type` more, so this errs on the safe side
    if (size > GREETING_BYTES) break;
    const { type, ...attachment } = one;
    attach.push(attachment);
  }
  return attach.length ? { ...hello, attach } : hello;
}
