import type { ErrorCode } from "./frames.ts";

/** What went wrong with a request, in the words of the `error` frame. */
export class ParleyError extends Error {
  override readonly name = "ParleyError";
  /** `offline`: the server was not reached. `withdrawn`: taken back before it left. `closed`: the client was shut out. */
  readonly code: ErrorCode | "offline" | "withdrawn" | "closed";
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;
  /** Milliseconds. */
  readonly retryAfter: number | undefined;
  /** Names the case in the server's logs. */
  readonly trace: string | undefined;
  /** Of the HTTP answer, where it was one. */
  readonly status: number | undefined;

  constructor(
    code: ParleyError["code"],
    message: string,
    more: { retryable?: boolean; retry_after_ms?: number; trace?: string; status?: number } = {},
  ) {
    super(message);
    this.code = code;
    this.retryable = more.retryable ?? false;
    this.retryAfter = more.retry_after_ms;
    this.trace = more.trace;
    this.status = more.status;
  }
}
