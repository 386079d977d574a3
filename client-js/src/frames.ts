// Written by scripts/generate from the server's own types; change those instead.

/** Any frame from a client. */
export type ClientFrame =
  | HelloFrame
  | AuthFrame
  | AttachFrame
  | DetachFrame
  | ChatFrame
  | StopFrame
  | RegenerateFrame
  | EditFrame
  | SelectFrame
  | ApproveFrame
  | ToolResultFrame
  | GiveFeedbackFrame
  | ReadHistoryFrame
  | TypeFrame
  | PingFrame;

/** Any frame from the server. */
export type ServerFrame =
  | WelcomeFrame
  | AttachedFrame
  | AckFrame
  | MessageMadeFrame
  | StatusFrame
  | ChunkFrame
  | ThoughtFrame
  | CitationFrame
  | ToolFrame
  | ResetFrame
  | CompleteFrame
  | FeedbackGivenFrame
  | ConversationChangedFrame
  | ConversationsChangedFrame
  | TypingFrame
  | PresenceFrame
  | PongFrame
  | ExpiringFrame
  | NoticeFrame
  | HistoryFrame
  | OkFrame
  | GoawayFrame
  | ErrorFrame;

/** The first frame. */
export interface HelloFrame {
  readonly type: "hello";
  readonly token?: string;
  readonly client?: ClientInfo;
  readonly attach?: readonly Attachment[];
}

/** Which software speaks. */
export interface ClientInfo {
  readonly name: string;
  readonly version: string;
}

/** A conversation to follow, and from where. */
export interface Attachment {
  /** An opaque id. */
  readonly conversation: string;
  /** Random name of one life of a conversation's log. */
  readonly epoch?: string;
  readonly seq?: number;
  readonly history?: number;
}

/** Renew the token on the open socket. */
export interface AuthFrame {
  readonly type: "auth";
  readonly token: string;
}

/** Follow a conversation from a position. */
export interface AttachFrame {
  readonly type: "attach";
  /** An opaque id. */
  readonly conversation: string;
  /** Random name of one life of a conversation's log. */
  readonly epoch?: string;
  readonly seq?: number;
  readonly history?: number;
}

/** Stop following. */
export interface DetachFrame {
  readonly type: "detach";
  /** An opaque id. */
  readonly conversation: string;
}

/** Send a message. */
export interface ChatFrame {
  readonly type: "chat";
  /** Minted by the client; makes its frame idempotent. */
  readonly id: string;
  readonly content: string;
  /** An opaque id. */
  readonly conversation?: string;
  /** An opaque id. */
  readonly parent?: string;
  readonly model?: string;
  readonly temperature?: number;
  readonly max_tokens?: number;
  readonly system_prompt?: string;
  readonly retrieval?: false | Retrieval;
  readonly tools?: readonly (string | ClientTool)[];
  readonly attachments?: readonly string[];
  readonly metadata?: { readonly [key: string]: Scalar };
  readonly on_busy?: OnBusy;
}

/** Which documents to consult, and how many passages. */
export interface Retrieval {
  readonly collection?: string;
  readonly limit?: number;
  readonly filters?: { readonly [key: string]: Scalar | readonly Scalar[] | Range };
}

/** Bounds of a document's field; numbers, or texts that sort (dates). */
export interface Range {
  readonly gt?: Scalar;
  readonly gte?: Scalar;
  readonly lt?: Scalar;
  readonly lte?: Scalar;
  readonly text?: string;
}

/** A tool that the client runs itself; `parameters` is a JSON Schema. */
export interface ClientTool {
  readonly name: string;
  readonly description: string;
  readonly parameters: { readonly [key: string]: Json };
}

/** What a message does when its conversation is already answering. */
export type OnBusy = "interrupt" | "queue" | "reject";

/** Stop an answer, running or queued. */
export interface StopFrame {
  readonly type: "stop";
  /** An opaque id. */
  readonly answer: string;
}

/** Another answer beside this one. */
export interface RegenerateFrame {
  readonly type: "regenerate";
  /** Minted by the client; makes its frame idempotent. */
  readonly id: string;
  /** An opaque id. */
  readonly answer: string;
  readonly on_busy?: OnBusy;
  readonly model?: string;
}

/** A sibling of an earlier user message, and a new answer below it. */
export interface EditFrame {
  readonly type: "edit";
  /** Minted by the client; makes its frame idempotent. */
  readonly id: string;
  /** An opaque id. */
  readonly message: string;
  readonly content: string;
  readonly on_busy?: OnBusy;
}

/** Make another branch the active one. */
export interface SelectFrame {
  readonly type: "select";
  /** Minted by the client; makes its frame idempotent. */
  readonly id: string;
  /** An opaque id. */
  readonly conversation: string;
  /** An opaque id. */
  readonly leaf: string;
}

/** Decide a tool call that awaits approval. */
export interface ApproveFrame {
  readonly type: "approve";
  /** Minted by the client; makes its frame idempotent. */
  readonly id: string;
  /** An opaque id. */
  readonly call: string;
  readonly args_hash: string;
  readonly allow: boolean;
}

/** The outcome of a tool that the client ran: `content` or `error`, one of them. */
export type ToolResultFrame = {
  readonly type: "tool_result";
  /** Minted by the client; makes its frame idempotent. */
  readonly id: string;
  /** An opaque id. */
  readonly call: string;
} & (
  | { readonly content: string; readonly error?: never }
  | { readonly error: string; readonly content?: never }
);

/** Rate a message. */
export interface GiveFeedbackFrame {
  readonly type: "feedback";
  /** Minted by the client; makes its frame idempotent. */
  readonly id: string;
  /** An opaque id. */
  readonly message: string;
  readonly rating: Rating;
  readonly comment?: string;
}

/** Ask for a page of messages. */
export interface ReadHistoryFrame {
  readonly type: "history";
  /** Minted by the client; makes its frame idempotent. */
  readonly id: string;
  /** An opaque id. */
  readonly conversation: string;
  /** An opaque id. */
  readonly before?: string;
  readonly limit?: number;
}

/** Tell the conversation's other devices that somebody types. */
export interface TypeFrame {
  readonly type: "typing";
  /** An opaque id. */
  readonly conversation: string;
}

/** Ask for a `pong`. */
export interface PingFrame {
  readonly type: "ping";
  /** Minted by the client; makes its frame idempotent. */
  readonly id?: string;
}

/** Answer to `hello`. */
export interface WelcomeFrame {
  readonly type: "welcome";
  /** An opaque id. */
  readonly session: string;
  readonly user: string;
  /** An opaque id. */
  readonly tenant: string;
  readonly server: Server;
  readonly heartbeat_s: number;
  readonly limits: Limits;
  readonly features: readonly string[];
  /** RFC 3339, UTC, milliseconds. */
  readonly expires_at: string | null;
}

/** Who answers. */
export interface Server {
  readonly name: string;
  readonly version: string;
  readonly instance: string;
}

/** Every limit that applies to this principal; sizes in bytes of UTF-8 or of the frame. */
export interface Limits {
  readonly client_frame_bytes: number;
  readonly server_frame_bytes: number;
  readonly content_bytes: number;
  readonly system_prompt_bytes: number;
  readonly metadata_bytes: number;
  readonly message_attachments: number;
  readonly tools: number;
  readonly attached_conversations: number;
  readonly history_messages: number;
  readonly queued_answers: number;
  readonly max_tokens: number;
  readonly messages_per_minute: number;
  readonly typing_per_minute: number;
  readonly sockets: number;
}

/** Brings the client level with a conversation. */
export interface AttachedFrame {
  readonly type: "attached";
  /** An opaque id. */
  readonly conversation: string;
  /** Random name of one life of a conversation's log. */
  readonly epoch: string;
  readonly seq: number;
  readonly recovered: boolean;
  /** An opaque id. */
  readonly leaf: string | null;
  readonly answers: readonly Unfinished[];
  readonly messages?: readonly Message[];
  readonly more?: boolean;
}

/** An answer that has not ended, as a snapshot shows it. `length` is the whole text's, of which `text` may be a beginning: chunks without `seq` bring the rest, and a client that was cut in between knows that it has only a part. */
export interface Unfinished {
  /** An opaque id. */
  readonly answer: string;
  /** An opaque id. */
  readonly parent: string | null;
  readonly state: AnswerState;
  readonly attempt: number;
  readonly text?: string;
  /** UTF-16 code units. */
  readonly length?: number;
  readonly thought?: string;
  readonly siblings?: readonly string[];
  /** RFC 3339, UTC, milliseconds. */
  readonly created_at?: string;
  readonly feedback?: Feedback;
  readonly tools?: readonly ToolCall[];
  readonly citations?: readonly Cited[];
}

/** What an unfinished answer is doing, as `status` tells it. */
export type AnswerState = "generating" | "parked" | "queued" | "retrieving" | "thinking" | "tool";

/** What its reader thought of a message. */
export interface Feedback {
  readonly rating: Rating;
  readonly comment?: string;
}

/** A tool call as a snapshot or a stored message shows it. */
export interface ToolCall {
  /** An opaque id. */
  readonly call: string;
  readonly name: string;
  readonly state: ToolState;
  readonly arguments?: { readonly [key: string]: Json };
  readonly args_hash?: string;
  readonly result?: string;
  /** RFC 3339, UTC, milliseconds. */
  readonly expires_at?: string;
}

/** Where a tool call stands; `unknown` means its effect may or may not have happened. */
export type ToolState =
  | "awaiting_approval"
  | "denied"
  | "done"
  | "expired"
  | "failed"
  | "requested"
  | "running"
  | "unknown";

/** A span of an answer and the spans of sources it rests on. */
export interface Cited {
  /** UTF-16 code units. */
  readonly start: number;
  /** UTF-16 code units. */
  readonly end: number;
  readonly sources: readonly Source[];
}

/** A place in a document that part of an answer rests on. */
export interface Source {
  /** An opaque id. */
  readonly document: string;
  readonly title: string;
  readonly url?: string;
  readonly snippet?: string;
  /** UTF-16 code units. */
  readonly start?: number;
  /** UTF-16 code units. */
  readonly end?: number;
  readonly score?: number;
}

/** A row of a conversation's tree; an answer has the fields below `created_at` too. */
export interface Message {
  /** An opaque id. */
  readonly id: string;
  /** An opaque id. */
  readonly conversation: string;
  readonly role: Role;
  readonly content: string;
  /** An opaque id. */
  readonly parent: string | null;
  readonly siblings: readonly string[];
  /** RFC 3339, UTC, milliseconds. */
  readonly created_at: string;
  readonly outcome?: Outcome;
  readonly attempt?: number;
  readonly finish_reason?: FinishReason;
  readonly model?: string;
  readonly provider?: string;
  readonly usage?: Usage;
  readonly citations?: readonly Cited[];
  readonly sources?: readonly Source[];
  readonly tools?: readonly ToolCall[];
  readonly feedback?: Feedback;
  readonly attachments?: readonly string[];
  readonly metadata?: { readonly [key: string]: Scalar };
}

/** Who wrote a message. */
export type Role = "assistant" | "system" | "user";

/** How an answer ended; told once, in `complete`. */
export type Outcome = "complete" | "failed" | "interrupted" | "stopped";

/** Why an answer ended; each belongs to one outcome. */
export type FinishReason =
  | "content_filter"
  | "crash"
  | "error"
  | "length"
  | "limit"
  | "shutdown"
  | "stop"
  | "stopped"
  | "superseded"
  | "timeout";

/** What an answer consumed and cost. */
export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly cost_usd: number;
}

/** The message is committed; its answer will come. */
export interface AckFrame {
  readonly type: "ack";
  /** Minted by the client; makes its frame idempotent. */
  readonly ref: string;
  /** An opaque id. */
  readonly conversation: string;
  /** An opaque id. */
  readonly message: string;
  /** An opaque id. */
  readonly answer: string;
  readonly duplicate: boolean;
  readonly queued: number;
  /** Random name of one life of a conversation's log. */
  readonly epoch: string;
  readonly seq: number;
}

/** A row was made. */
export interface MessageMadeFrame {
  readonly type: "message";
  /** The frame's place in the conversation's log. */
  readonly seq: number;
  /** An opaque id. */
  readonly conversation: string;
  readonly message: Message;
}

/** What an answer is doing. */
export interface StatusFrame {
  readonly type: "status";
  /** The frame's place in the conversation's log. */
  readonly seq: number;
  /** An opaque id. */
  readonly conversation: string;
  /** An opaque id. */
  readonly answer: string;
  readonly attempt: number;
  readonly state: AnswerState;
  readonly detail?: string;
}

/** Text appended to an answer. */
export interface ChunkFrame {
  readonly type: "chunk";
  /** The frame's place in the conversation's log. Absent in what completes a snapshot. */
  readonly seq?: number;
  /** An opaque id. */
  readonly answer: string;
  /** UTF-16 code units. */
  readonly offset: number;
  readonly text: string;
  /** The first `seq` of those that this frame stands for. */
  readonly from?: number;
}

/** The model's reasoning, where a policy lets it be shown. */
export interface ThoughtFrame {
  readonly type: "thought";
  /** The frame's place in the conversation's log. Absent in what completes a snapshot. */
  readonly seq?: number;
  /** An opaque id. */
  readonly answer: string;
  /** UTF-16 code units. */
  readonly offset: number;
  readonly text: string;
  /** The first `seq` of those that this frame stands for. */
  readonly from?: number;
  /** An opaque id. */
  readonly conversation: string;
}

/** A span of the answer and the spans of sources it rests on. */
export interface CitationFrame {
  readonly type: "citation";
  /** The frame's place in the conversation's log. */
  readonly seq: number;
  /** An opaque id. */
  readonly conversation: string;
  /** An opaque id. */
  readonly answer: string;
  /** UTF-16 code units. */
  readonly start: number;
  /** UTF-16 code units. */
  readonly end: number;
  readonly sources: readonly Source[];
}

/** Where a tool call stands. */
export interface ToolFrame {
  readonly type: "tool";
  /** The frame's place in the conversation's log. */
  readonly seq: number;
  /** An opaque id. */
  readonly conversation: string;
  /** An opaque id. */
  readonly answer: string;
  /** An opaque id. */
  readonly call: string;
  readonly name: string;
  readonly state: ToolState;
  readonly arguments?: { readonly [key: string]: Json };
  readonly args_hash?: string;
  readonly result?: string;
  /** RFC 3339, UTC, milliseconds. */
  readonly expires_at?: string;
}

/** Forget the text of earlier attempts. */
export interface ResetFrame {
  readonly type: "reset";
  /** The frame's place in the conversation's log. */
  readonly seq: number;
  /** An opaque id. */
  readonly conversation: string;
  /** An opaque id. */
  readonly answer: string;
  readonly attempt: number;
  readonly reason: ResetReason;
}

/** Why the text shown so far is given up. */
export type ResetReason = "fallback" | "handover" | "policy" | "retry";

/** The one and only terminal frame of an answer. */
export interface CompleteFrame {
  readonly type: "complete";
  /** The frame's place in the conversation's log. */
  readonly seq: number;
  /** An opaque id. */
  readonly conversation: string;
  /** An opaque id. */
  readonly answer: string;
  readonly attempt: number;
  readonly outcome: Outcome;
  readonly finish_reason: FinishReason;
  /** UTF-16 code units. */
  readonly length: number;
  /** CRC-32 of the text's UTF-8 bytes. */
  readonly crc32: number;
  readonly usage: Usage;
  readonly model: string;
  readonly provider: string;
  readonly sources: readonly Source[];
  readonly degraded: readonly Degradation[];
  readonly timings_ms: Timings;
  readonly error?: Failure;
}

/** What an answer had to do without, named in `complete.degraded`. */
export type Degradation =
  | "cached"
  | "fallback_model"
  | "no_memory"
  | "no_rerank"
  | "no_retrieval"
  | "no_tools"
  | "offline";

/** Milliseconds of an answer's life. */
export interface Timings {
  readonly queue: number;
  readonly total: number;
  readonly retrieve?: number;
  readonly first_token?: number;
}

/** What went wrong with an answer. */
export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly retryable: boolean;
}

/** Every error that a client can meet, on the socket and over HTTP. */
export type ErrorCode =
  | "approval_conflict"
  | "approval_expired"
  | "bad_json"
  | "busy"
  | "content_blocked"
  | "context_too_long"
  | "forbidden"
  | "id_conflict"
  | "internal"
  | "invalid_field"
  | "invalid_frame"
  | "message_too_long"
  | "method_not_allowed"
  | "not_found"
  | "overloaded"
  | "payload_too_large"
  | "provider_busy"
  | "provider_error"
  | "provider_timeout"
  | "quota_exceeded"
  | "rate_limited"
  | "request_timeout"
  | "resync_required"
  | "token_in_query"
  | "tool_denied"
  | "tool_timeout"
  | "unauthenticated"
  | "unavailable"
  | "unknown_type"
  | "unsupported_media";

/** Feedback was saved. */
export interface FeedbackGivenFrame {
  readonly type: "feedback";
  /** The frame's place in the conversation's log. */
  readonly seq: number;
  /** An opaque id. */
  readonly conversation: string;
  /** An opaque id. */
  readonly message: string;
  readonly rating: Rating;
  readonly comment?: string;
}

/** Title, archive state, active leaf and the like changed; the object's `id` names it. */
export interface ConversationChangedFrame {
  readonly type: "conversation";
  /** The frame's place in the conversation's log. */
  readonly seq: number;
  readonly conversation: Conversation;
}

/** A conversation without its messages. */
export interface Conversation {
  /** An opaque id. */
  readonly id: string;
  readonly title: string | null;
  readonly status: ConversationStatus;
  /** An opaque id. */
  readonly leaf: string | null;
  readonly message_count: number;
  /** RFC 3339, UTC, milliseconds. */
  readonly created_at: string;
  /** RFC 3339, UTC, milliseconds. */
  readonly updated_at: string;
  readonly model?: string;
  readonly system_prompt?: string;
  readonly collection?: string;
  readonly metadata?: { readonly [key: string]: Scalar };
  readonly last_message?: string;
  readonly summary?: string;
  readonly usage?: Usage;
  readonly cost_usd?: number;
}

/** The life of a conversation. */
export type ConversationStatus = "active" | "archived" | "completed" | "paused";

/** A conversation of this user was made, renamed, archived or deleted. */
export interface ConversationsChangedFrame {
  readonly type: "conversations";
  readonly conversation: Conversation;
  readonly change: "archived" | "created" | "deleted" | "updated";
}

/** Somebody types, on another device. */
export interface TypingFrame {
  readonly type: "typing";
  /** An opaque id. */
  readonly conversation: string;
  readonly user: string;
}

/** How many sockets follow the conversation. */
export interface PresenceFrame {
  readonly type: "presence";
  /** An opaque id. */
  readonly conversation: string;
  readonly sockets: number;
}

/** Answer to `ping`. */
export interface PongFrame {
  readonly type: "pong";
  /** Minted by the client; makes its frame idempotent. */
  readonly id?: string;
}

/** The token ends soon; send `auth`. */
export interface ExpiringFrame {
  readonly type: "expiring";
  readonly in_s: number;
}

/** A word to the person, outside any answer. */
export interface NoticeFrame {
  readonly type: "notice";
  readonly reason: NoticeReason;
  readonly text: string;
}

/** Why a person is told something outside any answer. */
export type NoticeReason = "budget" | "degraded" | "maintenance" | "operator";

/** A page of one branch, oldest first. */
export interface HistoryFrame {
  readonly type: "history";
  /** Minted by the client; makes its frame idempotent. */
  readonly ref: string;
  readonly messages: readonly Message[];
  readonly more: boolean;
}

/** Answer to what has no other answer. */
export interface OkFrame {
  readonly type: "ok";
  readonly ref: string;
  /** RFC 3339, UTC, milliseconds. */
  readonly expires_at?: string;
}

/** The server drains: reconnect after the delay. */
export interface GoawayFrame {
  readonly type: "goaway";
  readonly reason: GoawayReason;
  readonly reconnect_after_ms: number;
}

/** Why the server asks a socket to move on. */
export type GoawayReason = "rebalance" | "shutdown";

/** A frame was refused; the socket lives on unless a close follows. */
export interface ErrorFrame {
  readonly type: "error";
  readonly code: ErrorCode;
  readonly message: string;
  readonly retryable: boolean;
  readonly trace: string;
  readonly retry_after_ms?: number;
  readonly ref?: string;
}

/** A thumb or a mark. */
export type Rating = "up" | "down" | 1 | 2 | 3 | 4 | 5;

/** A plain value. A whole number stays within ±(2^53 - 1). */
export type Scalar = string | number | boolean | null;

/** Free JSON, nested at most 8 deep; whole numbers as in Scalar. */
export type Json = Scalar | readonly Json[] | { readonly [key: string]: Json };

/** Any frame of a conversation's log. */
export type LoggedFrame =
  | MessageMadeFrame
  | StatusFrame
  | ChunkFrame
  | ThoughtFrame
  | CitationFrame
  | ToolFrame
  | ResetFrame
  | CompleteFrame
  | FeedbackGivenFrame
  | ConversationChangedFrame;
