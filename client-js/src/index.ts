/** A client of a Parley server, for browsers and for Node. */

export type { Answer, AnswerEvents, Piece } from "./answer.ts";
export { type ClientEvents, type ClientOptions, type Connection, ParleyClient } from "./client.ts";
export type { Codec } from "./codec.ts";
export type { Conversation, ConversationEvents, SendOptions, Status } from "./conversation.ts";
export { ParleyError } from "./errors.ts";
export type { Emitter } from "./events.ts";
export type * from "./frames.ts";
export type { Conversation as ConversationObject } from "./frames.ts";
export type { FetchOptions, TokenReason } from "./http.ts";
export type { Store, WebSocketClass } from "./outside.ts";
export type { ChatMessage, Delivery } from "./screen.ts";
