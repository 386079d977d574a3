import type { Conversation } from "../index.ts";

const leaving = new WeakMap<Conversation, () => void>();

/** It is shown no longer. One that still sends or answers is followed until that has ended, and no longer. */
export function leave(conversation: Conversation): void {
  stay(conversation);
  const close = (): void => {
    const { status } = conversation;
    if (status === "submitted" || status === "streaming") return;
    stay(conversation);
    conversation.close();
  };
  leaving.set(conversation, conversation.on("change", close));
  close();
}

/** It is shown again, maybe by another panel than the one that left it. */
export function stay(conversation: Conversation): void {
  leaving.get(conversation)?.();
  leaving.delete(conversation);
}
