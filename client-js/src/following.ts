/** The conversations that a client follows: which of them a frame belongs to, and what `hello` says of them. */

import type { Attachment, ClientFrame, HelloFrame, ServerFrame } from "./frames.ts";
import { CONVERSATIONS, GREETING_BYTES } from "./limits.ts";
import type { Replica } from "./replica.ts";

/** The replica of the frame's conversation; a chunk does not name it, but an answer that it has. */
export function homeOf(
  frame: ServerFrame,
  replicas: ReadonlyMap<string, Replica>,
): Replica | undefined {
  const { conversation, answer = "" } = frame as {
    readonly conversation?: string | { readonly id: string } | null;
    readonly answer?: string;
  };
  if (conversation) {
    return replicas.get(typeof conversation === "object" ? conversation.id : conversation);
  }
  for (const replica of replicas.values()) {
    if (replica.messages.has(answer)) return replica;
  }
  return undefined;
}

/** `hello` with as many of the attachments, from the first on, as its small cap leaves room. */
export function greeting(
  hello: HelloFrame,
  attachments: readonly Attachment[],
  size: (frame: ClientFrame) => number,
): HelloFrame {
  for (let named = Math.min(attachments.length, CONVERSATIONS); named; named--) {
    const full = { ...hello, attach: attachments.slice(0, named) };
    if (size(full) <= GREETING_BYTES) return full;
  }
  return hello;
}
