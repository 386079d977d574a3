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
  const {
    content,
    attachments = [],
    tools = [],
    max_tokens = 0,
    ...chat
  } = frame as Partial<ChatFrame>;
  const ownTools = tools.filter((tool) => typeof tool === "object").length;
  const used = {
    retrieval: chat.retrieval,
    attachments: attachments.length,
    tools: tools.length > ownTools,
    client_tools: ownTools || frame.type === "tool_result",
    approvals: frame.type === "approve",
  };
  for (const [feature, isUsed] of Object.entries(used)) {
    if (isUsed && !features.includes(feature)) {
      return refusal(frame.type === "chat" ? "invalid_field" : "unavailable", feature);
    }
  }
  const sizes = {
    message_attachments: attachments.length,
    tools: tools.length,
    max_tokens,
    metadata_bytes: chat.metadata ? utf8Length(JSON.stringify(chat.metadata)) : 0,
    content_bytes: utf8Length(content),
    system_prompt_bytes: utf8Length(chat.system_prompt),
  };
  for (const [limit, size] of Object.entries(sizes)) {
    if (size > limits[limit as keyof typeof sizes]) {
      return refusal(/^[cs]/.test(limit) ? "message_too_long" : "invalid_field", limit);
    }
  }
  return undefined;
}
