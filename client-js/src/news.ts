/** What the client's machine wants done, and what it tells the application. */

import type {
  AckFrame,
  ClientFrame,
  ErrorFrame,
  HistoryFrame,
  OkFrame,
  ServerFrame,
} from "./frames.ts";
import type { Refusal } from "./offer.ts";
import type { RequestFrame } from "./outbox.ts";

export type State =
  | "stopped" // nothing is tried until `connect`
  | "connecting"
  | "greeting" // the socket is open, and `hello` was sent
  | "open"
  | "draining" // `goaway` came: what runs is read on, what starts an answer waits
  | "waiting"; // for its turn to connect

export type Answer = AckFrame | OkFrame | HistoryFrame | ErrorFrame;

/** What the application is told. */
export type News =
  /** The state changed; `close` says why, `wait` how many ms until the next attempt. */
  | {
      readonly type: "moved";
      readonly state: State;
      readonly close?: number;
      readonly wait?: number;
    }
  /** A request of the application and its one answer. */
  | {
      readonly type: "answered";
      readonly request: RequestFrame;
      readonly answer: Answer | Refusal;
    }
  /** A request that the server could not do now; it is sent again after `wait` ms. */
  | {
      readonly type: "delayed";
      readonly request: RequestFrame;
      readonly error: ErrorFrame;
      readonly wait: number;
    }
  /** This frame changed the replica of its conversation. */
  | { readonly type: "updated"; readonly conversation: string; readonly frame: ServerFrame }
  /** The conversation cannot be followed; its replica is gone. */
  | {
      readonly type: "unfollowed";
      readonly conversation: string;
      readonly why: ErrorFrame | Refusal;
    }
  /** Any other word of the server: `welcome`, `notice`, `typing`, `presence`, a stray `error` … */
  | { readonly type: "heard"; readonly frame: ServerFrame }
  /** Hand a new token to `auth`; after "expired" the client has stopped, so `connect` too. */
  | { readonly type: "need_token"; readonly why: "expiring" | "expired" | "refused" };

export type Action =
  | News
  /** Open a socket, then report `opened`, or `closed` with 1006. */
  | { readonly type: "connect" }
  | { readonly type: "send"; readonly frame: ClientFrame }
  /** Let go of the socket, then report `closed` with this code. */
  | { readonly type: "close"; readonly code: number };
