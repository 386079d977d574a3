import type { Conversation } from "../index.ts";

/** By how many panels: a client that the page brings may be that of several. */
const shown = new WeakMap<Conversation, number>();
const ending = new WeakMap<Conversation, () => void>();

/** It is shown, maybe by another panel than the one that left it. */
export function stay(conversation: Conversation): void {
  ending.get(conversation)?.();
  shown.set(conversation, (shown.get(conversation) ?? 0) + 1);
}

/** It is shown no longer. */
export function leave(conversation: Conversation): void {
  shown.set(conversation, (shown.get(conversation) ?? 0) - 1);
  end(conversation);
}

/** What nobody shows is followed until it has sent and answered all that it was to, and no longer. */
export function end(conversation: Conversation): void {
  if (shown.get(conversation)) return;
  ending.get(conversation)?.();
  const close = (): void => {
    const { status } = conversation;
    if (status === "submitted" || status === "streaming") return;
    ending.get(conversation)?.();
    conversation.close();
  };
  ending.set(conversation, conversation.on("change", close));
  close();
}
