/** The numbers that bound a client; those of the server come with `welcome`. */

import type { CloseCode } from "./codes.ts";

/** Until `welcome` no frame may have more. */
export const GREETING_BYTES = 4096;
/** On one socket, until the server has said how many it allows. */
export const CONVERSATIONS = 50;
/** Of the application, at once. */
export const REQUESTS = 100;
/**
 * Of one request of the application, some two minutes of trying; then it is told. What is followed
 * nobody would ask for anew, so that is tried for as long as the connection lasts.
 */
export const REFUSALS = 8;
/** Re-attachments in a row that brought nothing; then the connection is given up. */
export const BREAKS = 3;

/** From "connect" to `welcome`. */
export const CONNECT_MS = 15_000;
/** Of `heartbeat_s` without a word, after which this end asks for one. */
export const SILENCE = 1500;
export const PONG_MS = 10_000;
/**
 * The longest delay before another attempt. So long a connection must last to count as a success: a
 * server that lets us in only to throw us out is asked about once a minute in the long run.
 */
export const LONGEST_MS = 60_000;

// One by one: the table of all close codes would be the greater part of this module.
export const NORMAL = 1000 satisfies CloseCode;
export const TOO_BIG = 1009 satisfies CloseCode;
export const HELLO_TIMEOUT = 4001 satisfies CloseCode;
export const NOT_LEVEL = 4005 satisfies CloseCode;
export const HEARTBEAT_LOST = 4008 satisfies CloseCode;
/** Of those that stop a client, this and the lower ones are about what it sent. */
export const BAD_REQUEST = 4500 satisfies CloseCode;
