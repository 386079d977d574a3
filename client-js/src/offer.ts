/** What this principal is offered, and which frames go beyond it. */

import type { ClientFrame, ErrorCode, WelcomeFrame } from "./frames.ts";
import { utf8Length } from "./text.ts";

/** An answer that was decided here, without the server. */
export interface Refusal {
  readonly type: "refusal";
  readonly code: ErrorCode;
  readonly message: string;
  readonly ref?: string;
}

type Offer = Pick<WelcomeFrame, "limits" | "features">;

export function refusal(code: ErrorCode, message: string, ref?: string): Refusal {
  return { type: "refusal", code, message, ...(ref !== undefined && { ref }) };
}

/** Why `frame` exceeds this offer; the types bound what no server may exceed. */
export function refuse(frame: ClientFrame, offer: Offer): Refusal | undefined {
  const { limits, features } = offer;
  const { id } = frame as { id?: string };
  const lacks = (feature: string, used: unknown, code: ErrorCode = "invalid_field") =>
    used && !features.includes(feature) ? refusal(code, `no ${feature}`, id) : undefined;
  const over = (field: string, size: number, most: number, code: ErrorCode = "invalid_field") =>
    size > most ? refusal(code, `${field} over ${most}`, id) : undefined;
  const tooLong = (field: "content" | "system_prompt", text = "") =>
    over(field, utf8Length(text), limits[`${field}_bytes`], "message_too_long");

  switch (frame.type) {
    case "chat": {
      const { tools = [], attachments = [], metadata } = frame;
      const own = tools.filter((tool) => typeof tool === "object").length;
      return (
        lacks("retrieval", frame.retrieval) ??
        lacks("attachments", attachments.length) ??
        lacks("tools", tools.length > own) ??
        lacks("client_tools", own) ??
        over("attachments", attachments.length, limits.message_attachments) ??
        over("tools", tools.length, limits.tools) ??
        over("max_tokens", frame.max_tokens ?? 0, limits.max_tokens) ??
        over(
          "metadata",
          metadata ? utf8Length(JSON.stringify(metadata)) : 0,
          limits.metadata_bytes,
        ) ??
        tooLong("content", frame.content) ??
        tooLong("system_prompt", frame.system_prompt)
      );
    }
    case "edit":
      return tooLong("content", frame.content);
    case "tool_result":
      return tooLong("content", frame.content) ?? lacks("client_tools", true, "unavailable");
    case "approve":
      return lacks("approvals", true, "unavailable");
    default:
      return undefined;
  }
}
