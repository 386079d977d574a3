// Written by scripts/generate from the server's own types; change those instead.

import type { ErrorCode } from "./frames.ts";

/** 4000–4499: reconnect and resume. 4500–4999: stop. The rest are RFC 6455's. */
export const CLOSE_CODES = {
  NORMAL: 1000,
  GOING_AWAY: 1001,
  PROTOCOL_ERROR: 1002,
  UNSUPPORTED_DATA: 1003,
  NO_STATUS: 1005,
  ABNORMAL: 1006,
  INVALID_TEXT: 1007,
  TOO_BIG: 1009,
  INTERNAL_ERROR: 1011,
  RESTART: 1012,
  OVERLOADED: 1013,
  HELLO_TIMEOUT: 4001,
  TOKEN_EXPIRED: 4002,
  SLOW_CONSUMER: 4004,
  NOT_LEVEL: 4005,
  IDLE: 4006,
  RATE_LIMITED: 4007,
  HEARTBEAT_LOST: 4008,
  BAD_REQUEST: 4500,
  UNAUTHENTICATED: 4501,
  REPLACED: 4503,
  CONNECTION_LIMIT: 4504,
  UNSUPPORTED_VERSION: 4506,
  FORBIDDEN: 4507,
  REVOKED: 4508,
  ERASED: 4509,
} as const;

export type CloseCode = (typeof CLOSE_CODES)[keyof typeof CLOSE_CODES];

/** What to do after a close: reconnect, reconnect only with a new token, or stop. */
export type Advice = "reconnect" | "renew" | "stop";

/** What to do after a close with `code`, for any code: ranges, so that this outlives the list. */
export function advice(code: number): Advice {
  switch (code) {
    case 4002: // TOKEN_EXPIRED
      return "renew";
    case 1002: // PROTOCOL_ERROR
    case 1003: // UNSUPPORTED_DATA
    case 1007: // INVALID_TEXT
    case 1009: // TOO_BIG
      return "stop";
    default:
      return code >= 4500 && code <= 4999 ? "stop" : "reconnect";
  }
}

/** What is the same wherever an error code appears. */
export interface ErrorTraits {
  /** Of the HTTP answer that carries it. */
  readonly status: number;
  /** Whether the same request, unchanged, may succeed later. */
  readonly retryable: boolean;
  readonly meaning: string;
}

/** Every error that a client can meet, on the socket and over HTTP. */
export const ERROR_CODES: Readonly<Record<ErrorCode, ErrorTraits>> = {
  bad_json: {
    status: 400,
    retryable: false,
    meaning: "The bytes are not one object of the agreed encoding.",
  },
  invalid_frame: {
    status: 400,
    retryable: false,
    meaning: "A field is unknown, missing or of the wrong shape.",
  },
  invalid_field: {
    status: 422,
    retryable: false,
    meaning: "A value is out of its bounds or not offered here.",
  },
  unknown_type: {
    status: 400,
    retryable: false,
    meaning: "There is no frame of this type.",
  },
  message_too_long: {
    status: 413,
    retryable: false,
    meaning: "A text exceeds its limit in bytes of UTF-8.",
  },
  payload_too_large: {
    status: 413,
    retryable: false,
    meaning: "The body exceeds its limit.",
  },
  unsupported_media: {
    status: 415,
    retryable: false,
    meaning: "The content's type is not accepted here.",
  },
  method_not_allowed: {
    status: 405,
    retryable: false,
    meaning: "The resource has no such method.",
  },
  request_timeout: {
    status: 408,
    retryable: true,
    meaning: "The request did not arrive in time.",
  },
  token_in_query: {
    status: 400,
    retryable: false,
    meaning: "A token in a URL would end in logs; use `hello`.",
  },
  id_conflict: {
    status: 409,
    retryable: false,
    meaning: "This id was used before, for another request.",
  },
  not_found: {
    status: 404,
    retryable: false,
    meaning: "There is no such thing, or it is not yours.",
  },
  forbidden: {
    status: 403,
    retryable: false,
    meaning: "The credentials do not allow this.",
  },
  unauthenticated: {
    status: 401,
    retryable: false,
    meaning: "The credentials are missing or not accepted.",
  },
  rate_limited: {
    status: 429,
    retryable: true,
    meaning: "Too many requests; wait `retry_after_ms`.",
  },
  quota_exceeded: {
    status: 429,
    retryable: false,
    meaning: "A budget or a count of this principal is used up.",
  },
  busy: {
    status: 409,
    retryable: true,
    meaning: "The conversation is answering and takes no more for now.",
  },
  overloaded: {
    status: 503,
    retryable: true,
    meaning: "The server has no capacity for this now.",
  },
  unavailable: {
    status: 503,
    retryable: true,
    meaning: "A part that this needs is away; retry with the same id.",
  },
  provider_busy: {
    status: 503,
    retryable: true,
    meaning: "The model's provider refuses for lack of capacity.",
  },
  provider_error: {
    status: 502,
    retryable: true,
    meaning: "The model's provider failed.",
  },
  provider_timeout: {
    status: 504,
    retryable: true,
    meaning: "The model's provider did not answer in time.",
  },
  content_blocked: {
    status: 422,
    retryable: false,
    meaning: "A policy does not let this text pass.",
  },
  context_too_long: {
    status: 422,
    retryable: false,
    meaning: "The conversation exceeds what the model reads.",
  },
  tool_denied: {
    status: 403,
    retryable: false,
    meaning: "The tool call was not approved.",
  },
  tool_timeout: {
    status: 504,
    retryable: false,
    meaning: "The tool did not answer in time.",
  },
  approval_expired: {
    status: 410,
    retryable: false,
    meaning: "The time to decide has passed.",
  },
  approval_conflict: {
    status: 409,
    retryable: false,
    meaning: "Decided otherwise, or other arguments.",
  },
  resync_required: {
    status: 409,
    retryable: true,
    meaning: "The position is lost; start from a snapshot.",
  },
  internal: {
    status: 500,
    retryable: false,
    meaning: "A fault of the server; `trace` names it in the logs.",
  },
};
