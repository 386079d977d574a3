/**
 * What a client has asked and what has no answer yet, oldest first.
 *
 * A frame leaves when nothing older is in its lane: frames about one conversation's following and
 * the messages sent into it go one at a time, so that a message refused for now is not overtaken by
 * the next, and no reference stands for two frames at once. Only an attachment passes messages that
 * wait: they may wait for the end of the very answer that it is to show. Everything else goes side
 * by side.
 */

import type {
  AckFrame,
  ApproveFrame,
  AttachedFrame,
  AttachFrame,
  AuthFrame,
  ChatFrame,
  DetachFrame,
  EditFrame,
  ErrorFrame,
  GiveFeedbackFrame,
  HistoryFrame,
  OkFrame,
  ReadHistoryFrame,
  RegenerateFrame,
  SelectFrame,
  StopFrame,
  ToolResultFrame,
} from "./frames.ts";

/** What an application asks; each has exactly one answer. */
export type RequestFrame =
  | ChatFrame
  | RegenerateFrame
  | EditFrame
  | StopFrame
  | SelectFrame
  | ApproveFrame
  | ToolResultFrame
  | GiveFeedbackFrame
  | ReadHistoryFrame;

type OwnFrame = AuthFrame | AttachFrame | DetachFrame;

export type AnswerFrame = AttachedFrame | AckFrame | OkFrame | HistoryFrame | ErrorFrame;

/** A frame that will have exactly one answer. */
export interface Request {
  readonly frame: RequestFrame | OwnFrame;
  readonly ref: string;
  readonly lanes: readonly string[];
  /** On this connection, and not refused since. */
  sent: boolean;
  /** It left at least once, so the server may have taken it. */
  known: boolean;
  refusals: number;
  notBefore: number;
}

/** One that the application is told the answer of. */
export type Asked = Request & { readonly frame: RequestFrame };

/** What the client itself asks about the connection. */
const OWN = ["auth", "attach", "detach"];

const ANSWERED_BY: { readonly [type: string]: AnswerFrame["type"] } = {
  attach: "attached",
  chat: "ack",
  regenerate: "ack",
  edit: "ack",
  history: "history",
};

export function request(frame: Request["frame"], sent = false): Request {
  // How an answer names the frame it answers.
  const { id, conversation, answer } = frame as Partial<ChatFrame & StopFrame>;
  const ref = id ?? conversation ?? answer ?? "auth";
  const lanes = frame.type === "chat" && conversation ? [ref, conversation] : [ref];
  return { frame, ref, lanes, sent, known: sent, refusals: 0, notBefore: 0 };
}

export function isAsked(one: Request): one is Asked {
  return !OWN.includes(one.frame.type);
}

/** Those that nothing older keeps back; without `starts`, none that starts an answer. */
export function free(outbox: readonly Request[], starts: boolean): Request[] {
  const taken = outbox.flatMap(({ sent, lanes }) => (sent ? lanes : []));
  const awaited: string[] = []; // by messages; they may wait for minutes
  return outbox.filter(({ frame, lanes, sent }) => {
    if (sent) return false;
    const message = answeredBy(frame) === "ack";
    const ahead = frame.type === "attach" ? taken : [...taken, ...awaited];
    const goes = (starts || !message) && !lanes.some((lane) => ahead.includes(lane));
    (message ? awaited : taken).push(...lanes);
    return goes;
  });
}

/** The request that `answer` belongs to; undefined for one that nobody asked for. */
export function match(outbox: readonly Request[], answer: AnswerFrame): Request | undefined {
  const name = answer.type === "attached" ? answer.conversation : answer.ref;
  return outbox.find(
    ({ frame, ref, sent }) =>
      sent && ref === name && (answer.type === "error" || answer.type === answeredBy(frame)),
  );
}

function answeredBy({ type }: Request["frame"]): AnswerFrame["type"] {
  return ANSWERED_BY[type] ?? "ok";
}
