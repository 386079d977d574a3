/** Frames that many tests need, and the little of them that each test changes. */

import { ERROR_CODES } from "../src/codes.ts";
import type {
  AckFrame,
  AttachedFrame,
  ChatFrame,
  ErrorCode,
  ErrorFrame,
  Limits,
  WelcomeFrame,
} from "../src/frames.ts";

export const FEATURES = ["retrieval", "attachments", "tools", "client_tools", "approvals"];
export const CHAT: ChatFrame = { type: "chat", id: "m-1", content: "Hello" };

/** A greeting that offers everything, but for what a test says. */
export function welcome(limits: Partial<Limits> = {}, features = FEATURES): WelcomeFrame {
  return {
    type: "welcome",
    session: "s1",
    user: "ada",
    tenant: "t",
    server: { name: "parley", version: "1", instance: "i1" },
    heartbeat_s: 20,
    limits: {
      client_frame_bytes: 65536,
      server_frame_bytes: 262144,
      content_bytes: 32768,
      system_prompt_bytes: 8192,
      metadata_bytes: 2048,
      message_attachments: 5,
      tools: 64,
      attached_conversations: 50,
      history_messages: 100,
      queued_answers: 3,
      max_tokens: 128000,
      messages_per_minute: 60,
      typing_per_minute: 30,
      sockets: 20,
      ...limits,
    },
    features,
    expires_at: null,
  };
}

export function refused(code: ErrorCode, ref?: string, retry_after_ms?: number): ErrorFrame {
  return {
    type: "error",
    code,
    message: "words",
    retryable: ERROR_CODES[code].retryable,
    trace: "t1",
    ...(ref !== undefined && { ref }),
    ...(retry_after_ms !== undefined && { retry_after_ms }),
  };
}

/** The commitment to answer, in conversation `c` from the log's start. */
export function ack(ref: string, more: Partial<AckFrame> = {}): AckFrame {
  const place = { conversation: "c", message: "m1", answer: "m2", epoch: "e1", seq: 0 };
  return { type: "ack", ref, duplicate: false, queued: 0, ...place, ...more };
}

/** A snapshot with nothing in it. */
export function attached(conversation = "c"): AttachedFrame {
  const place = { conversation, epoch: "e1", seq: 0 };
  return { type: "attached", ...place, recovered: false, leaf: null, answers: [] };
}
