/**
 * What a client has asked and what has no answer yet, oldest first.
 *
 * A frame leaves when nothing older is in its lane: frames about one conversation's following and
 * those that change its branch (messages, other answers, a chosen leaf) go one at a time, so that one
 * refused for now is not overtaken by the next, which means the conversation as that one leaves it,
 * and no reference stands for two frames at once. Only an attachment passes those that wait: they may
 * wait for the end of the very answer that it is to show. Everything else goes side by side.
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

/** `into`: the conversation that it goes into, where it does not say so itself. */
export function request(frame: Request["frame"], into?: string, sent = false): Request {
  // How an answer names the frame it answers.
  const { id, conversation, answer } = frame as Partial<ChatFrame & StopFrame>;
  const ref = id ?? conversation ?? answer ?? "auth";
  const home = into ?? (["chat", "select"].includes(frame.type) ? conversation : undefined) ?? ref;
  return { frame, ref, lanes: [ref, home], sent, known: sent, refusals: 0, notBefore: 0 };
}

export function isAsked(one: Request): one is Asked {
  return !OWN.includes(one.frame.type);
}

/** Those that nothing older keeps back; without `starts`, none that starts an answer. */
export function free(outbox: readonly Request[], starts: boolean): Request[] {
  const taken = outbox.flatMap(({ sent, lanes }) => (sent ? lanes : []));
  const awaited: string[] = []; // by what the application asked; that may wait for minutes
  return outbox.filter((one) => {
    const { frame, lanes, sent } = one;
    if (sent) return false;
    const ahead = frame.type === "attach" ? taken : [...taken, ...awaited];
    const goes = (starts || answeredBy(frame) !== "ack") && !lanes.some((at) => ahead.includes(at));
    (isAsked(one) ? awaited : taken).push(...lanes);
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
