/** What this principal is offered, and which frames go beyond it. */

import type { ChatFrame, ErrorCode, WelcomeFrame } from "./frames.ts";
import type { RequestFrame } from "./outbox.ts";
import { utf8Length } from "./text.ts";

/** An answer that was decided here, without the server. */
export interface Refusal {
  readonly type: "refusal";
  readonly code: ErrorCode;
  readonly message: string;
}

export function refusal(code: ErrorCode, message: string): Refusal {
  return { type: "refusal", code, message };
}

/** Why `frame` exceeds this offer; the types bound what no server may exceed. */
export function refuse(
  frame: RequestFrame,
  { limits, features }: WelcomeFrame,
): Refusal | undefined {
  // Only a `chat` has most of these fields; what a frame lacks, it does not use.
  const { attachments = [], tools = [], metadata, ...chat } = frame as Partial<ChatFrame>;
  const ownTools = tools.filter((tool) => typeof tool === "object").length;
  const lacking = frame.type === "chat" ? "invalid_field" : "unavailable";
  const lacks = (feature: string, isUsed: unknown) =>
    isUsed && !features.includes(feature) ? refusal(lacking, feature) : undefined;
  const over = (limit: keyof typeof limits, size = 0, code: ErrorCode = "invalid_field") =>
    size > limits[limit] ? refusal(code, limit) : undefined;
  return (
    lacks("retrieval", chat.retrieval) ||
    lacks("attachments", attachments.length) ||
    lacks("tools", tools.length > ownTools) ||
    lacks("client_tools", ownTools || frame.type === "tool_result") ||
    lacks("approvals", frame.type === "approve") ||
    over("message_attachments", attachments.length) ||
    over("tools", tools.length) ||
    over("max_tokens", chat.max_tokens) ||
    over("metadata_bytes", utf8Length(metadata && JSON.stringify(metadata))) ||
    over("content_bytes", utf8Length(chat.content), "message_too_long") ||
    over("system_prompt_bytes", utf8Length(chat.system_prompt), "message_too_long")
  );
}
